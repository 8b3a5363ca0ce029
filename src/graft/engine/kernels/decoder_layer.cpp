// A decoder layer in one call for each direction: y = x + o(attention(norm(x))), z = y + down(silu(gate(n)) * up(n)) of
// n = norm(y), with LoRA in its seven linear layers. float32, and sizes that are multiples of the lanes.
#include "layers.h"
#include "lora.h"
#include "workspace.h"

#if VECTOR_BYTES >= 32

namespace {

enum { Q, K, V, O, GATE, UP, DOWN };

// What the forward pass keeps: where each array stands in kept_attention and kept_mlp.
struct Kept {
    float *q, *k, *v, *attended, *norms, *inverse, *inverse_q, *inverse_k, *h_qkv, *h_o, *y, *inverse_mlp, *h_gate_up, *h_down;

    explicit Kept(const DecoderLayer& layer) {
        const AttentionParams& a = layer.attention;
        float* at = layer.kept_attention;
        const auto next = [&](int numbers) {
            float* here = at;
            at += (int64_t)a.tokens * numbers;
            return here;
        };
        const auto ranks = [&](int from, int stop) {
            int sum = 0;
            for (int i = from; i < stop; i++) sum += padded_rank(layer.layers[i].rank);
            return sum;
        };
        q = next(a.heads * a.d), k = next(a.kv_heads * a.d), v = next(a.kv_heads * a.d);
        attended = next(a.heads * a.d), norms = next(a.heads), inverse = next(1);
        inverse_q = next(layer.norm_q ? a.heads : 0), inverse_k = next(layer.norm_k ? a.kv_heads : 0);
        h_qkv = next(ranks(Q, O)), h_o = next(ranks(O, GATE));
        at = layer.kept_mlp;
        y = next(layer.width), inverse_mlp = next(1), h_gate_up = next(ranks(GATE, DOWN)), h_down = next(ranks(DOWN, DOWN + 1));
    }
};

void rope_in_place(const DecoderLayer& layer, float* q, float* k, bool transposed) {
    const AttentionParams& a = layer.attention;
    if (!layer.cos) return;
    rope_f32(a.tokens, a.heads, a.d, q, layer.cos, layer.sin, transposed, q);
    rope_f32(a.tokens, a.kv_heads, a.d, k, layer.cos, layer.sin, transposed, k);
}

// q and k as attention takes them. Without norms of the heads RoPE is applied in place and kept; with them q and k are kept as
// the linear layers gave them, and norm and RoPE are recomputed.
struct AttentionInputs {
    float *q, *k;

    AttentionInputs(const DecoderLayer& layer, const Kept& kept, bool recompute) : q(kept.q), k(kept.k) {
        static thread_local Workspace workspaces[2];
        const AttentionParams& a = layer.attention;
        if (layer.norm_q) {
            const int64_t q_rows = (int64_t)a.tokens * a.heads, k_rows = (int64_t)a.tokens * a.kv_heads;
            q = workspaces[0].get<float>((size_t)q_rows * a.d);
            k = workspaces[1].get<float>((size_t)k_rows * a.d);
            rms_norm_forward_f32(q_rows, a.d, kept.q, layer.norm_q, layer.eps_q, q, kept.inverse_q);
            rms_norm_forward_f32(k_rows, a.d, kept.k, layer.norm_k, layer.eps_k, k, kept.inverse_k);
        }
        if (layer.norm_q || !recompute) rope_in_place(layer, q, k, false);
    }
};

// From the gradients of q and k as attention takes them to those of the linear layers' outputs, in place
void attention_inputs_backward(const DecoderLayer& layer, const Kept& kept, float* dq, float* dk) {
    const AttentionParams& a = layer.attention;
    rope_in_place(layer, dq, dk, true);
    if (!layer.norm_q) return;
    rms_norm_backward_f32((int64_t)a.tokens * a.heads, a.d, kept.q, layer.norm_q, kept.inverse_q, dq, nullptr, dq);
    rms_norm_backward_f32((int64_t)a.tokens * a.kv_heads, a.d, kept.k, layer.norm_k, kept.inverse_k, dk, nullptr, dk);
}

}  // namespace

// z (tokens, width) of x
EXPORT void decoder_layer_forward(const DecoderLayer* given, const float* x, float* z) {
    static thread_local Workspace workspaces[2];
    DecoderLayer layer = *given;
    const AttentionParams& a = layer.attention;
    const Kept kept(layer);
    const int64_t tokens = a.tokens;
    float* normed = workspaces[0].get<float>(tokens * layer.width);
    layer.layers[Q].y = kept.q, layer.layers[K].y = kept.k, layer.layers[V].y = kept.v;
    layer.layers[O].y = kept.y, layer.layers[O].residual = x;
    layer.layers[GATE].y = layer.gate, layer.layers[UP].y = layer.up;
    layer.layers[DOWN].y = z, layer.layers[DOWN].residual = kept.y;
    const auto group = [&](int first, int count, int dropout, int k, const float* input, float* h) {
        lora_group_forward(layer.compute, tokens, k, count, layer.layers + first, layer.dropouts + dropout, input, h);
    };

    rms_norm_forward_f32(tokens, layer.width, x, layer.norm_attention, layer.eps_attention, normed, kept.inverse);
    group(Q, 3, 0, layer.width, normed, kept.h_qkv);
    const AttentionInputs inputs(layer, kept, false);
    attention_forward_f32(&a, inputs.q, inputs.k, kept.v, kept.attended, kept.norms);
    group(O, 1, 1, a.heads * a.d, kept.attended, kept.h_o);
    rms_norm_forward_f32(tokens, layer.width, kept.y, layer.norm_mlp, layer.eps_mlp, normed, kept.inverse_mlp);
    group(GATE, 2, 2, layer.width, normed, kept.h_gate_up);
    float* gated = workspaces[1].get<float>(tokens * layer.inner);
    swiglu_forward_f32(tokens * layer.inner, layer.gate, layer.up, gated);
    group(DOWN, 1, 3, layer.inner, gated, kept.h_down);
}

// The layers' grad_a and grad_b, and dx (tokens, width) unless it is null, of x and dz
EXPORT void decoder_layer_backward(const DecoderLayer* given, const float* x, const float* dz, float* dx) {
    static thread_local Workspace workspaces[8];
    DecoderLayer layer = *given;
    const AttentionParams& a = layer.attention;
    const Kept kept(layer);
    const int64_t tokens = a.tokens;
    const int q_width = a.heads * a.d, kv_width = a.kv_heads * a.d;
    const auto workspace = [&](int which, int numbers) { return workspaces[which].get<float>(tokens * numbers); };
    const auto group = [&](int first, int count, int k, const RowSource& input, const float* h, float* grad) {
        lora_group_backward(layer.compute, tokens, k, count, layer.layers + first, &input, h, grad);
    };
    float *d_gated = workspace(0, layer.inner), *d_gate = workspace(1, layer.inner), *d_up = workspace(2, layer.inner);
    float *d_normed = workspace(3, layer.width), *dy = workspace(4, layer.width);

    layer.layers[DOWN].grad = dz;
    group(DOWN, 1, layer.inner, {ROWS_SWIGLU, layer.gate, layer.up, 0, layer.dropouts[3]}, kept.h_down, d_gated);
    swiglu_backward_f32(tokens * layer.inner, layer.gate, layer.up, d_gated, d_gate, d_up);
    layer.layers[GATE].grad = d_gate, layer.layers[UP].grad = d_up;
    group(GATE, 2, layer.width, {ROWS_RMS_NORM, kept.y, layer.norm_mlp, layer.eps_mlp, layer.dropouts[2]}, kept.h_gate_up,
          d_normed);
    rms_norm_backward_f32(tokens, layer.width, kept.y, layer.norm_mlp, kept.inverse_mlp, d_normed, dz, dy);

    float *d_attended = workspace(0, q_width), *dq = workspace(5, q_width);
    float *dk = workspace(6, kv_width), *dv = workspace(7, kv_width);
    const AttentionInputs inputs(layer, kept, true);
    layer.layers[O].grad = dy;
    group(O, 1, q_width, {ROWS_PLAIN, kept.attended, nullptr, 0, layer.dropouts[1]}, kept.h_o, d_attended);
    attention_backward_f32(&a, inputs.q, inputs.k, kept.v, kept.norms, d_attended, dq, dk, dv);
    attention_inputs_backward(layer, kept, dq, dk);
    layer.layers[Q].grad = dq, layer.layers[K].grad = dk, layer.layers[V].grad = dv;
    group(Q, 3, layer.width, {ROWS_RMS_NORM, x, layer.norm_attention, layer.eps_attention, layer.dropouts[0]}, kept.h_qkv,
          dx ? d_normed : nullptr);
    if (dx) rms_norm_backward_f32(tokens, layer.width, x, layer.norm_attention, kept.inverse, d_normed, dy, dx);
}
#endif
