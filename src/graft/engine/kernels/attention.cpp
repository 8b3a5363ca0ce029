// Attention over a packed batch, whose tokens form a forest: a token sees its node's ancestors and, causally, its own node.
// Scores are recomputed in the backward pass, as in FlashAttention (Dao et al. 2022, arXiv:2205.14135). The work is divided into
// units: a node and a head of keys. Arrays are (tokens, heads, d).
#include "layers.h"
#include "microkernel.h"

namespace {

constexpr int BLOCK = 16;  // query tokens at a time

// The keys that a node sees, ancestors first, and their values: as rows (count, dp) and transposed (d, width). The first `own`
// belong to ancestors.
template <class T>
struct VisibleKeys {
    std::vector<int> tokens;
    std::vector<T> keys, values, keys_t, values_t;
    int own, width, dp;

    void gather(const AttentionParams& p, int node, int head, const T* k, const T* v, bool backward) {
        tokens.clear();
        int chain[64], depth = 0;
        for (int n = node; n >= 0 && depth < 64; n = p.spans[3 * n + 2]) chain[depth++] = n;
        while (depth--) {
            if (chain[depth] == node) own = (int)tokens.size();
            for (int t = p.spans[3 * chain[depth]]; t < p.spans[3 * chain[depth] + 1]; t++) tokens.push_back(t);
        }
        dp = round_up_to_lanes<T>(p.d);
        width = round_up_to_lanes<T>((int)tokens.size());
        copy(p, head, k, keys, keys_t, true, backward);
        copy(p, head, v, values, values_t, backward, true);
    }

    void copy(const AttentionParams& p, int head, const T* from, std::vector<T>& plain_rows, std::vector<T>& transposed_rows,
              bool transpose_rows, bool copy_rows) {
        const int n = (int)tokens.size();
        const int64_t row = (int64_t)p.kv_heads * p.d;
        if (copy_rows && dp == p.d)
            plain_rows.resize((size_t)n * dp);
        else if (copy_rows)
            plain_rows.assign((size_t)n * dp, T(0));
        if (transpose_rows) transposed_rows.resize((size_t)p.d * width);
        for (int j = 0; j < n; j++)
            if (copy_rows) std::memcpy(&plain_rows[(size_t)j * dp], from + tokens[j] * row + head * p.d, p.d * sizeof(T));
        constexpr int lanes = Simd<T>::lanes;
        for (int j = 0; transpose_rows && j < width; j += lanes) {
            const int count = std::min(lanes, n - j);
            const T* source = from + tokens[j] * row + head * p.d;
            T* to = &transposed_rows[j];
            if (count == lanes && tokens[j + lanes - 1] == tokens[j] + lanes - 1) {
                ::transpose(p.d, source, row, to, width);
                continue;
            }
            for (int i = 0; i < lanes; i++)
                for (int c = 0; c < p.d; c++)
                    to[(size_t)c * width + i] = i < count ? from[tokens[j + i] * row + head * p.d + c] : T(0);
        }
    }
};

// A thread's scratch for a block of queries: rows are (query heads of the unit's key head, tokens).
template <class T>
struct Block {
    std::vector<T> query, grad, score, slope, out, cap_slope;
    int first, tokens, rows, key_count, width;

    void start(const AttentionParams& p, const VisibleKeys<T>& visible, int node_start, int node_stop, int from, int dp) {
        first = from;
        tokens = std::min(BLOCK, node_stop - from);
        rows = tokens * (p.heads / p.kv_heads);
        key_count = visible.own + (from - node_start) + tokens;
        width = round_up_to_lanes<T>(key_count);
        query.resize((size_t)rows * dp);
        grad.resize((size_t)rows * dp);
        out.resize((size_t)rows * dp);
        score.resize((size_t)rows * width);
        slope.resize((size_t)rows * width);
        cap_slope.resize(width);
    }

    int token(int row) const { return first + row % tokens; }
    int64_t place(const AttentionParams& p, int head, int row) const {
        return (int64_t)token(row) * p.heads + head * (p.heads / p.kv_heads) + row / tokens;
    }
    void load(const AttentionParams& p, int head, const T* from, std::vector<T>& to, int dp) const {
        for (int i = 0; i < rows; i++) {
            std::memcpy(&to[(size_t)i * dp], from + place(p, head, i) * p.d, p.d * sizeof(T));
            for (int c = p.d; c < dp; c++) to[(size_t)i * dp + c] = 0;
        }
    }
};

// score = scale q kᵀ, capped as cap * tanh(score / cap); minus infinity where a query does not see a key
template <class T>
void scores(const AttentionParams& p, const VisibleKeys<T>& visible, Block<T>& b) {
    small_gemm<T>(b.rows, b.width, p.d, b.query.data(), visible.dp, 1, visible.keys_t.data(), visible.width, b.score.data(),
                  b.width, false);
    const T scale = (T)p.scale, cap = (T)p.cap;
    for (int i = 0; i < b.rows; i++) {
        T* s = &b.score[(size_t)i * b.width];
        const int token = b.token(i);
        const int count = visible.own + token - visible.tokens[visible.own] + 1;
        for (int j = 0; j < count; j++) s[j] *= scale;
        if (cap > 0)
            for (int j = 0; j < count; j++) s[j] = cap * std::tanh(s[j] / cap);
        for (int j = count; j < b.width; j++) s[j] = -INFINITY;
        if (p.window > 0)
            for (int j = 0; j < count; j++)
                if (p.positions[visible.tokens[j]] <= p.positions[token] - p.window) s[j] = -INFINITY;
    }
}

template <class T>
void forward_unit(const AttentionParams& p, int node, int head, const T* q, const T* k, const T* v, T* out,
                  T* norms, VisibleKeys<T>& visible, Block<T>& b) {
    const int start = p.spans[3 * node], stop = p.spans[3 * node + 1];
    visible.gather(p, node, head, k, v, false);
    for (int from = start; from < stop; from += BLOCK) {
        b.start(p, visible, start, stop, from, visible.dp);
        b.load(p, head, q, b.query, visible.dp);
        scores(p, visible, b);
        for (int i = 0; i < b.rows; i++) {
            T* s = &b.score[(size_t)i * b.width];
            const T most = max_of(s, b.width);
            exponential(s, b.width, most);
            const T sum = sum_of(s, b.width), share = 1 / sum;
            norms[b.place(p, head, i)] = most + std::log(sum);
            for (int j = 0; j < b.width; j++) s[j] *= share;
        }
        small_gemm<T>(b.rows, visible.dp, b.key_count, b.score.data(), b.width, 1, visible.values.data(), visible.dp,
                      b.out.data(), visible.dp, false);
        for (int i = 0; i < b.rows; i++)
            std::memcpy(out + b.place(p, head, i) * p.d, &b.out[(size_t)i * visible.dp], p.d * sizeof(T));
    }
}

// dk and dv (keys, dp) are the unit's part of the gradients.
template <class T>
void backward_unit(const AttentionParams& p, int node, int head, const T* q, const T* k, const T* v,
                   const T* norms, const T* grad, T* dq, VisibleKeys<T>& visible, Block<T>& b, std::vector<T>& dk,
                   std::vector<T>& dv) {
    const int start = p.spans[3 * node], stop = p.spans[3 * node + 1];
    visible.gather(p, node, head, k, v, true);
    const int dp = visible.dp;
    dk.assign(visible.tokens.size() * dp, T(0));
    dv.assign(visible.tokens.size() * dp, T(0));
    const T scale = (T)p.scale, cap = (T)p.cap;
    for (int from = start; from < stop; from += BLOCK) {
        b.start(p, visible, start, stop, from, dp);
        b.load(p, head, q, b.query, dp);
        b.load(p, head, grad, b.grad, dp);
        scores(p, visible, b);
        small_gemm<T>(b.rows, b.width, p.d, b.grad.data(), dp, 1, visible.values_t.data(), visible.width, b.slope.data(),
                      b.width, false);
        std::vector<T>& slope = b.slope;
        for (int i = 0; i < b.rows; i++) {
            T* prob = &b.score[(size_t)i * b.width];
            T* s = &slope[(size_t)i * b.width];
            if (cap > 0)
                for (int j = 0; j < b.key_count; j++)
                    b.cap_slope[j] = std::isinf(prob[j]) ? 0 : 1 - prob[j] / cap * (prob[j] / cap);
            exponential(prob, b.width, norms[b.place(p, head, i)]);
            const T along = dot(prob, s, b.key_count);
            for (int j = 0; j < b.key_count; j++) s[j] = prob[j] * (s[j] - along) * scale;
            if (cap > 0)
                for (int j = 0; j < b.key_count; j++) s[j] *= b.cap_slope[j];
        }
        small_gemm<T>(b.rows, dp, b.key_count, slope.data(), b.width, 1, visible.keys.data(), dp, b.out.data(), dp, false);
        for (int i = 0; i < b.rows; i++)
            std::memcpy(dq + b.place(p, head, i) * p.d, &b.out[(size_t)i * dp], p.d * sizeof(T));
        small_gemm<T>(b.key_count, dp, b.rows, slope.data(), 1, b.width, b.query.data(), dp, dk.data(), dp, true);
        small_gemm<T>(b.key_count, dp, b.rows, b.score.data(), 1, b.width, b.grad.data(), dp, dv.data(), dp, true);
    }
}

// Divides the units into `parts` runs of about equal cost: the first unit of each, and the number of units.
std::vector<int> balance(const AttentionParams& p, int parts) {
    std::vector<double> until(1, 0.0);
    std::vector<double> context(p.nodes);
    for (int n = 0; n < p.nodes; n++) {
        const int length = p.spans[3 * n + 1] - p.spans[3 * n], parent = p.spans[3 * n + 2];
        context[n] = length + (parent < 0 ? 0 : context[parent]);
        for (int head = 0; head < p.kv_heads; head++) until.push_back(until.back() + length * context[n] + 8 * context[n]);
    }
    std::vector<int> bounds(1, 0);
    for (int part = 1; part <= parts; part++) {
        int unit = bounds.back();
        while (unit < p.nodes * p.kv_heads && (part == parts || until[unit + 1] <= until.back() * part / parts + 1e-9)) unit++;
        bounds.push_back(unit);
    }
    return bounds;
}

template <class T>
void attention_forward(const AttentionParams& p, const T* q, const T* k, const T* v, T* out, T* norms) {
    const int parts = omp_get_max_threads();
    const std::vector<int> bounds = balance(p, parts);
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        VisibleKeys<T> visible;
        Block<T> block;
        for (int unit = bounds[part]; unit < bounds[part + 1]; unit++)
            forward_unit(p, unit / p.kv_heads, unit % p.kv_heads, q, k, v, out, norms, visible, block);
    }
}

template <class T>
void attention_backward(const AttentionParams& p, const T* q, const T* k, const T* v, const T* norms,
                        const T* grad, T* dq, T* dk, T* dv) {
    const int parts = omp_get_max_threads();
    const std::vector<int> bounds = balance(p, parts);
    const size_t row = (size_t)p.kv_heads * p.d, size = p.shared * row;
    std::vector<std::vector<T>> shared_sums(parts);
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        VisibleKeys<T> visible;
        Block<T> block;
        std::vector<T> unit_k, unit_v;
        shared_sums[part].assign(2 * size, T(0));
        for (int unit = bounds[part]; unit < bounds[part + 1]; unit++) {
            const int head = unit % p.kv_heads;
            backward_unit(p, unit / p.kv_heads, head, q, k, v, norms, grad, dq, visible, block, unit_k, unit_v);
            for (size_t j = 0; j < visible.tokens.size(); j++) {
                const int token = visible.tokens[j];
                const bool common = token < p.shared;
                T* to_k = (common ? shared_sums[part].data() : dk) + token * row + head * p.d;
                T* to_v = (common ? shared_sums[part].data() + size : dv) + token * row + head * p.d;
                for (int c = 0; c < p.d; c++) {
                    to_k[c] = unit_k[j * visible.dp + c] + (common ? to_k[c] : T(0));
                    to_v[c] = unit_v[j * visible.dp + c] + (common ? to_v[c] : T(0));
                }
            }
        }
    }
    std::fill(dk, dk + size, T(0));
    std::fill(dv, dv + size, T(0));
    for (const std::vector<T>& one : shared_sums)
        for (size_t i = 0; i < size; i++) dk[i] += one[i], dv[i] += one[size + i];
}

// ---- generation ----

// Attention of one new token per row over the cached keys and values: those all rows share, then the row's own.
template <class T>
void attention_decode(const AttentionParams& p, const KVCache& cache, const T* q, const T* shared_k, const T* shared_v,
                      const T* own_k, const T* own_v, T* out) {
    const int group = p.heads / p.kv_heads;
    const int64_t row = (int64_t)p.kv_heads * p.d;
    const T scale = (T)p.scale, cap = (T)p.cap;
#pragma omp parallel for schedule(static)
    for (int unit = 0; unit < cache.rows * p.kv_heads; unit++) {
        const int r = unit / p.kv_heads, head = unit % p.kv_heads, slot = cache.slots[r];
        const int count = cache.shared + cache.lengths[slot];
        const int first = p.window > 0 ? std::max(0, count - p.window) : 0;
        const auto at = [&](const T* shared, const T* own, int j) {
            return (j < cache.shared ? shared + j * row : own + ((int64_t)slot * cache.capacity + j - cache.shared) * row) +
                   head * p.d;
        };
        const T* queries = q + ((int64_t)r * p.heads + head * group) * p.d;
        T* to = out + ((int64_t)r * p.heads + head * group) * p.d;
        const int width = round_up_to_lanes<T>(count - first);
        std::vector<T> score((size_t)group * width, -INFINITY);
        for (int j = first; j < count; j++) {
            const T* key = at(shared_k, own_k, j);
            for (int g = 0; g < group; g++) {
                const T sum = dot(queries + g * p.d, key, p.d) * scale;
                score[(size_t)g * width + j - first] = cap > 0 ? cap * std::tanh(sum / cap) : sum;
            }
        }
        for (int g = 0; g < group; g++) {
            T* s = &score[(size_t)g * width];
            T most = s[0], sum = 0;
            for (int j = 1; j < count - first; j++) most = std::max(most, s[j]);
            exponential(s, width, most);
            for (int j = 0; j < count - first; j++) sum += s[j];
            for (int j = 0; j < count - first; j++) s[j] /= sum;
        }
        std::fill(to, to + group * p.d, T(0));
        for (int j = first; j < count; j++) {
            const T* value = at(shared_v, own_v, j);
            for (int g = 0; g < group; g++) {
                const T share = score[(size_t)g * width + j - first];
#pragma omp simd
                for (int c = 0; c < p.d; c++) to[g * p.d + c] += share * value[c];
            }
        }
    }
}

}  // namespace

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void attention_forward_##NAME(const AttentionParams* params, const T* q, const T* k, const T* v, T* out,    \
                                         T* norms) {                                                                   \
        attention_forward<T>(*params, q, k, v, out, norms);                              \
    }                                                                                                                  \
    EXPORT void attention_backward_##NAME(const AttentionParams* params, const T* q, const T* k, const T* v,           \
                                          const T* norms, const T* grad, T* dq, T* dk, T* dv) {                        \
        attention_backward<T>(*params, q, k, v, norms, grad, dq, dk, dv);                \
    }                                                                                                                  \
    EXPORT void attention_decode_##NAME(const AttentionParams* params, const KVCache* cache, const T* q,               \
                                        const T* shared_k, const T* shared_v, const T* own_k, const T* own_v,          \
                                        T* out) {                                                                      \
        attention_decode<T>(*params, *cache, q, shared_k, shared_v, own_k, own_v, out);         \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
