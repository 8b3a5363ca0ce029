// A decoder layer in one call for each direction: y = x + o(attention(norm(x))), z = y + down(silu(gate(n)) * up(n)) of
// n = norm(y), with LoRA in all seven linear layers. float32, and sizes in whole vectors.
#include "layers.h"
#include "gemm.h"

#if VECTOR >= 32

// As engine/decoder.py describes it.
struct Decoder {
    int32_t compute, tokens, width, inner, heads, keys, d, window;
    double scale, eps, eps_after, eps_q, eps_k;
    const float *norm, *norm_after;  // weights (width)
    const float *norm_q, *norm_k;    // weights (d) of the heads' norms before they are rotated, or none
    const float *cos, *sin;          // (tokens, d), or none: nothing is rotated
    int32_t nodes, shared;
    const int32_t *spans, *positions;
    // What the backward pass needs, in (tokens, numbers) one behind the other: what belongs to attention; to what comes after
    // it; gate; up.
    float *attention, *after, *gate, *up;
    Layer layers[7];
    Drop drops[4];  // of what q, k and v read; o; gate and up; down
};

namespace {

enum { Q, K, V, O, GATE, UP, DOWN };

struct Kept {
    float *q, *k, *v, *attended, *norms, *inverse, *inverse_q, *inverse_k, *h_qkv, *h_o, *y, *inverse_after, *h_gate_up, *h_down;

    explicit Kept(const Decoder& one) {
        float* at = one.attention;
        const auto next = [&](int numbers) {
            float* here = at;
            at += (int64_t)one.tokens * numbers;
            return here;
        };
        const auto ranks = [&](int from, int stop) {
            int sum = 0;
            for (int i = from; i < stop; i++) sum += filled(one.layers[i].rank);
            return sum;
        };
        q = next(one.heads * one.d), k = next(one.keys * one.d), v = next(one.keys * one.d);
        attended = next(one.heads * one.d), norms = next(one.heads), inverse = next(1);
        inverse_q = next(one.norm_q ? one.heads : 0), inverse_k = next(one.norm_k ? one.keys : 0);
        h_qkv = next(ranks(Q, O)), h_o = next(ranks(O, GATE));
        at = one.after;
        y = next(one.width), inverse_after = next(1), h_gate_up = next(ranks(GATE, DOWN)), h_down = next(ranks(DOWN, DOWN + 1));
    }
};

void rotated(const Decoder& one, float* q, float* k, bool back) {
    if (!one.cos) return;
    rotate_f32(one.tokens, one.heads, one.d, q, one.cos, one.sin, back, q);
    rotate_f32(one.tokens, one.keys, one.d, k, one.cos, one.sin, back, k);
}

// q and k as attention takes them: what is kept, or, where heads have norms, made of it.
struct Heads {
    float *q, *k;

    Heads(const Decoder& one, const Kept& kept, bool again) : q(kept.q), k(kept.k) {
        static thread_local Room rooms[2];
        if (one.norm_q) {
            q = rooms[0].of<float>((size_t)one.tokens * one.heads * one.d);
            k = rooms[1].of<float>((size_t)one.tokens * one.keys * one.d);
            norm_forward_f32((int64_t)one.tokens * one.heads, one.d, kept.q, one.norm_q, one.eps_q, q, kept.inverse_q);
            norm_forward_f32((int64_t)one.tokens * one.keys, one.d, kept.k, one.norm_k, one.eps_k, k, kept.inverse_k);
        }
        if (one.norm_q || !again) rotated(one, q, k, false);
    }
};

// The gradients of the linear layers' outputs in the place of those of q and k as attention takes them
void heads_backward(const Decoder& one, const Kept& kept, float* dq, float* dk) {
    rotated(one, dq, dk, true);
    if (!one.norm_q) return;
    norm_backward_f32((int64_t)one.tokens * one.heads, one.d, kept.q, one.norm_q, kept.inverse_q, dq, nullptr, dq);
    norm_backward_f32((int64_t)one.tokens * one.keys, one.d, kept.k, one.norm_k, kept.inverse_k, dk, nullptr, dk);
}

}  // namespace

// z (tokens, width) of x
EXPORT void decoder_forward(const Decoder* given, const float* x, float* z) {
    static thread_local Room rooms[2];
    Decoder one = *given;
    const Kept kept(one);
    const int64_t tokens = one.tokens;
    float* made = rooms[0].of<float>(tokens * one.width);
    one.layers[Q].y = kept.q, one.layers[K].y = kept.k, one.layers[V].y = kept.v;
    one.layers[O].y = kept.y, one.layers[O].plus = x;
    one.layers[GATE].y = one.gate, one.layers[UP].y = one.up;
    one.layers[DOWN].y = z, one.layers[DOWN].plus = kept.y;

    norm_forward_f32(tokens, one.width, x, one.norm, one.eps, made, kept.inverse);
    together_forward(one.compute, tokens, one.width, 3, one.layers + Q, one.drops + 0, made, kept.h_qkv);
    const Heads seen(one, kept, false);
    attention_forward_f32(one.nodes, one.spans, one.positions, one.tokens, one.shared, one.heads, one.keys, one.d, one.scale, 0,
                          one.window, seen.q, seen.k, kept.v, kept.attended, kept.norms);
    together_forward(one.compute, tokens, one.heads * one.d, 1, one.layers + O, one.drops + 1, kept.attended, kept.h_o);
    norm_forward_f32(tokens, one.width, kept.y, one.norm_after, one.eps_after, made, kept.inverse_after);
    together_forward(one.compute, tokens, one.width, 2, one.layers + GATE, one.drops + 2, made, kept.h_gate_up);
    float* joined = rooms[1].of<float>(tokens * one.inner);
    swiglu_forward_f32(tokens * one.inner, one.gate, one.up, joined);
    together_forward(one.compute, tokens, one.inner, 1, one.layers + DOWN, one.drops + 3, joined, kept.h_down);
}

// The layers' grad_a and grad_b, and dx (tokens, width) where it is wanted, of x and dz
EXPORT void decoder_backward(const Decoder* given, const float* x, const float* dz, float* dx) {
    static thread_local Room rooms[8];
    Decoder one = *given;
    const Kept kept(one);
    const int64_t tokens = one.tokens;
    const int wide = one.heads * one.d, narrow = one.keys * one.d;
    const auto room = [&](int which, int numbers) { return rooms[which].of<float>(tokens * numbers); };
    float *d_joined = room(0, one.inner), *d_gate = room(1, one.inner), *d_up = room(2, one.inner);
    float *d_made = room(3, one.width), *dy = room(4, one.width);

    one.layers[DOWN].grad = dz;
    together_backward(one.compute, tokens, one.inner, 1, one.layers + DOWN, one.drops + 3, kept.h_down, Rows::GATED, one.gate, one.up, 0,
                      d_joined);
    swiglu_backward_f32(tokens * one.inner, one.gate, one.up, d_joined, d_gate, d_up);
    one.layers[GATE].grad = d_gate, one.layers[UP].grad = d_up;
    together_backward(one.compute, tokens, one.width, 2, one.layers + GATE, one.drops + 2, kept.h_gate_up, Rows::NORMED, kept.y, one.norm_after,
                      one.eps_after, d_made);
    norm_backward_f32(tokens, one.width, kept.y, one.norm_after, kept.inverse_after, d_made, dz, dy);

    float *d_attended = room(0, wide), *dq = room(5, wide), *dk = room(6, narrow), *dv = room(7, narrow);
    const Heads seen(one, kept, true);
    one.layers[O].grad = dy;
    together_backward(one.compute, tokens, wide, 1, one.layers + O, one.drops + 1, kept.h_o, Rows::PLAIN, kept.attended, nullptr, 0,
                      d_attended);
    attention_backward_f32(one.nodes, one.spans, one.positions, one.tokens, one.shared, one.heads, one.keys, one.d, one.scale, 0,
                           one.window, seen.q, seen.k, kept.v, kept.norms, d_attended, dq, dk, dv);
    heads_backward(one, kept, dq, dk);
    one.layers[Q].grad = dq, one.layers[K].grad = dk, one.layers[V].grad = dv;
    together_backward(one.compute, tokens, one.width, 3, one.layers + Q, one.drops + 0, kept.h_qkv, Rows::NORMED, x, one.norm, one.eps,
                      dx ? d_made : nullptr);
    if (dx) norm_backward_f32(tokens, one.width, x, one.norm, kept.inverse, d_made, dy, dx);
}
#endif
