// A head's numbers stand together: (tokens, heads, d).
#include "layers.h"

namespace {

// ---- attention over a forest ----

struct Forest {
    int nodes;
    const int32_t* spans;  // (nodes, 3): first token, one past the last, the parent's index or -1
    const int32_t* positions;
    int tokens, shared;  // the first `shared` tokens have nodes below them
};

struct Heads {
    int count, keys, d;  // query heads, key heads, numbers a head
    double scale, cap;   // cap 0: none
    int window;          // 0: none
};

constexpr int BLOCK = 16;  // query tokens at once

// The keys a node sees, ancestors first, and their values: as they are, and transposed.
template <class T>
struct Seen {
    std::vector<int> tokens;
    std::vector<T> rows, values, rows_t, values_t;
    int own, width, dp;

    void gather(const Forest& f, const Heads& h, int node, int head, const T* k, const T* v, bool backward) {
        tokens.clear();
        int chain[64], depth = 0;
        for (int n = node; n >= 0 && depth < 64; n = f.spans[3 * n + 2]) chain[depth++] = n;
        while (depth--) {
            if (chain[depth] == node) own = (int)tokens.size();
            for (int t = f.spans[3 * chain[depth]]; t < f.spans[3 * chain[depth] + 1]; t++) tokens.push_back(t);
        }
        dp = padded<T>(h.d);
        width = padded<T>((int)tokens.size());
        copy(h, head, k, rows, rows_t, true, backward);
        copy(h, head, v, values, values_t, backward, true);
    }

    void copy(const Heads& h, int head, const T* from, std::vector<T>& as_is, std::vector<T>& turned, bool turn,
              bool plain) {
        const int n = (int)tokens.size();
        const int64_t row = (int64_t)h.keys * h.d;
        if (plain && dp == h.d)
            as_is.resize((size_t)n * dp);
        else if (plain)
            as_is.assign((size_t)n * dp, T(0));
        if (turn) turned.resize((size_t)h.d * width);
        for (int j = 0; j < n; j++)
            if (plain) std::memcpy(&as_is[(size_t)j * dp], from + tokens[j] * row + head * h.d, h.d * sizeof(T));
        constexpr int lanes = Lanes<T>::count;
        for (int j = 0; turn && j < width; j += lanes) {
            const int count = std::min(lanes, n - j);
            const T* source = from + tokens[j] * row + head * h.d;
            T* to = &turned[j];
            if (count == lanes && tokens[j + lanes - 1] == tokens[j] + lanes - 1) {
                ::turn(h.d, source, row, to, width);
                continue;
            }
            for (int i = 0; i < lanes; i++)
                for (int c = 0; c < h.d; c++)
                    to[(size_t)c * width + i] = i < count ? from[tokens[j + i] * row + head * h.d + c] : T(0);
        }
    }
};

// Scratch of one thread for a block of queries: rows are (heads of the group, tokens).
template <class T>
struct Block {
    std::vector<T> query, grad, score, slope, out, bent;
    int first, tokens, rows, keys, width;

    void start(const Heads& h, const Seen<T>& seen, int node_start, int node_stop, int from, int dp) {
        first = from;
        tokens = std::min(BLOCK, node_stop - from);
        rows = tokens * (h.count / h.keys);
        keys = seen.own + (from - node_start) + tokens;
        width = padded<T>(keys);
        query.resize((size_t)rows * dp);
        grad.resize((size_t)rows * dp);
        out.resize((size_t)rows * dp);
        score.resize((size_t)rows * width);
        slope.resize((size_t)rows * width);
        bent.resize(width);
    }

    int token(int row) const { return first + row % tokens; }
    int64_t place(const Heads& h, int head, int row) const {
        return (int64_t)token(row) * h.count + head * (h.count / h.keys) + row / tokens;
    }
    void load(const Heads& h, int head, const T* from, std::vector<T>& to, int dp) const {
        for (int i = 0; i < rows; i++) {
            std::memcpy(&to[(size_t)i * dp], from + place(h, head, i) * h.d, h.d * sizeof(T));
            for (int c = h.d; c < dp; c++) to[(size_t)i * dp + c] = 0;
        }
    }
};

// score = scale q kᵀ, capped; where a query does not see a key, minus infinity
template <class T>
void scores(const Forest& f, const Heads& h, const Seen<T>& seen, Block<T>& b) {
    product<T>(b.rows, b.width, h.d, b.query.data(), seen.dp, 1, seen.rows_t.data(), seen.width, b.score.data(), b.width,
               false);
    const T scale = (T)h.scale, cap = (T)h.cap;
    for (int i = 0; i < b.rows; i++) {
        T* s = &b.score[(size_t)i * b.width];
        const int token = b.token(i);
        const int visible = seen.own + token - seen.tokens[seen.own] + 1;
        for (int j = 0; j < visible; j++) s[j] *= scale;
        if (cap > 0)
            for (int j = 0; j < visible; j++) s[j] = cap * std::tanh(s[j] / cap);
        for (int j = visible; j < b.width; j++) s[j] = -INFINITY;
        if (h.window > 0)
            for (int j = 0; j < visible; j++)
                if (f.positions[seen.tokens[j]] <= f.positions[token] - h.window) s[j] = -INFINITY;
    }
}

template <class T>
void forward_unit(const Forest& f, const Heads& h, int node, int head, const T* q, const T* k, const T* v, T* out,
                  T* norms, Seen<T>& seen, Block<T>& b) {
    const int start = f.spans[3 * node], stop = f.spans[3 * node + 1];
    seen.gather(f, h, node, head, k, v, false);
    for (int from = start; from < stop; from += BLOCK) {
        b.start(h, seen, start, stop, from, seen.dp);
        b.load(h, head, q, b.query, seen.dp);
        scores(f, h, seen, b);
        for (int i = 0; i < b.rows; i++) {
            T* s = &b.score[(size_t)i * b.width];
            const T most = most_of(s, b.width);
            exponential(s, b.width, most);
            const T sum = sum_of(s, b.width), share = 1 / sum;
            norms[b.place(h, head, i)] = most + std::log(sum);
            for (int j = 0; j < b.width; j++) s[j] *= share;
        }
        product<T>(b.rows, seen.dp, b.keys, b.score.data(), b.width, 1, seen.values.data(), seen.dp, b.out.data(),
                   seen.dp, false);
        for (int i = 0; i < b.rows; i++)
            std::memcpy(out + b.place(h, head, i) * h.d, &b.out[(size_t)i * seen.dp], h.d * sizeof(T));
    }
}

// The unit's part of dk and dv is left in `dk`, `dv` (keys, dp).
template <class T>
void backward_unit(const Forest& f, const Heads& h, int node, int head, const T* q, const T* k, const T* v,
                   const T* norms, const T* grad, T* dq, Seen<T>& seen, Block<T>& b, std::vector<T>& dk,
                   std::vector<T>& dv) {
    const int start = f.spans[3 * node], stop = f.spans[3 * node + 1];
    seen.gather(f, h, node, head, k, v, true);
    const int dp = seen.dp;
    dk.assign(seen.tokens.size() * dp, T(0));
    dv.assign(seen.tokens.size() * dp, T(0));
    const T scale = (T)h.scale, cap = (T)h.cap;
    for (int from = start; from < stop; from += BLOCK) {
        b.start(h, seen, start, stop, from, dp);
        b.load(h, head, q, b.query, dp);
        b.load(h, head, grad, b.grad, dp);
        scores(f, h, seen, b);
        product<T>(b.rows, b.width, h.d, b.grad.data(), dp, 1, seen.values_t.data(), seen.width, b.slope.data(), b.width,
                   false);
        std::vector<T>& slope = b.slope;
        for (int i = 0; i < b.rows; i++) {
            T* p = &b.score[(size_t)i * b.width];
            T* s = &slope[(size_t)i * b.width];
            if (cap > 0)
                for (int j = 0; j < b.keys; j++) b.bent[j] = std::isinf(p[j]) ? 0 : 1 - p[j] / cap * (p[j] / cap);
            exponential(p, b.width, norms[b.place(h, head, i)]);
            const T along = dot(p, s, b.keys);
            for (int j = 0; j < b.keys; j++) s[j] = p[j] * (s[j] - along) * scale;
            if (cap > 0)
                for (int j = 0; j < b.keys; j++) s[j] *= b.bent[j];
        }
        product<T>(b.rows, dp, b.keys, slope.data(), b.width, 1, seen.rows.data(), dp, b.out.data(), dp, false);
        for (int i = 0; i < b.rows; i++)
            std::memcpy(dq + b.place(h, head, i) * h.d, &b.out[(size_t)i * dp], h.d * sizeof(T));
        product<T>(b.keys, dp, b.rows, slope.data(), 1, b.width, b.query.data(), dp, dk.data(), dp, true);
        product<T>(b.keys, dp, b.rows, b.score.data(), 1, b.width, b.grad.data(), dp, dv.data(), dp, true);
    }
}

// The units' shares of the work, so that each thread takes a run of them whatever its turn.
std::vector<int> shares(const Forest& f, const Heads& h, int parts) {
    std::vector<double> until(1, 0.0);
    std::vector<double> context(f.nodes);
    for (int n = 0; n < f.nodes; n++) {
        const int length = f.spans[3 * n + 1] - f.spans[3 * n], parent = f.spans[3 * n + 2];
        context[n] = length + (parent < 0 ? 0 : context[parent]);
        for (int head = 0; head < h.keys; head++) until.push_back(until.back() + length * context[n] + 8 * context[n]);
    }
    std::vector<int> bounds(1, 0);
    for (int part = 1; part <= parts; part++) {
        int unit = bounds.back();
        while (unit < f.nodes * h.keys && (part == parts || until[unit + 1] <= until.back() * part / parts + 1e-9)) unit++;
        bounds.push_back(unit);
    }
    return bounds;
}

template <class T>
void attention_forward(const Forest& f, const Heads& h, const T* q, const T* k, const T* v, T* out, T* norms) {
    const int parts = omp_get_max_threads();
    const std::vector<int> bounds = shares(f, h, parts);
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        Seen<T> seen;
        Block<T> block;
        for (int unit = bounds[part]; unit < bounds[part + 1]; unit++)
            forward_unit(f, h, unit / h.keys, unit % h.keys, q, k, v, out, norms, seen, block);
    }
}

template <class T>
void attention_backward(const Forest& f, const Heads& h, const T* q, const T* k, const T* v, const T* norms,
                        const T* grad, T* dq, T* dk, T* dv) {
    const int parts = omp_get_max_threads();
    const std::vector<int> bounds = shares(f, h, parts);
    const size_t row = (size_t)h.keys * h.d, size = f.shared * row;
    std::vector<std::vector<T>> above(parts);
#pragma omp parallel for schedule(static, 1)
    for (int part = 0; part < parts; part++) {
        Seen<T> seen;
        Block<T> block;
        std::vector<T> some_k, some_v;
        above[part].assign(2 * size, T(0));
        for (int unit = bounds[part]; unit < bounds[part + 1]; unit++) {
            const int head = unit % h.keys;
            backward_unit(f, h, unit / h.keys, head, q, k, v, norms, grad, dq, seen, block, some_k, some_v);
            for (size_t j = 0; j < seen.tokens.size(); j++) {
                const int token = seen.tokens[j];
                const bool common = token < f.shared;
                T* to_k = (common ? above[part].data() : dk) + token * row + head * h.d;
                T* to_v = (common ? above[part].data() + size : dv) + token * row + head * h.d;
                for (int c = 0; c < h.d; c++) {
                    to_k[c] = some_k[j * seen.dp + c] + (common ? to_k[c] : T(0));
                    to_v[c] = some_v[j * seen.dp + c] + (common ? to_v[c] : T(0));
                }
            }
        }
    }
    std::fill(dk, dk + size, T(0));
    std::fill(dv, dv + size, T(0));
    for (const std::vector<T>& one : above)
        for (size_t i = 0; i < size; i++) dk[i] += one[i], dv[i] += one[size + i];
}

// ---- attention of one new token a row over what is kept of it ----

// A row has what all rows share, then its own `ends[slot]` tokens in its slot; `room` tokens fit into a slot.
struct Past {
    const int32_t *slots, *ends;
    int shared, room;
};

template <class T>
void decode(int rows, const Past& past, const Heads& h, const T* q, const T* shared_k, const T* shared_v, const T* own_k,
            const T* own_v, T* out) {
    const int group = h.count / h.keys;
    const int64_t row = (int64_t)h.keys * h.d;
    const T scale = (T)h.scale, cap = (T)h.cap;
#pragma omp parallel for schedule(static)
    for (int unit = 0; unit < rows * h.keys; unit++) {
        const int r = unit / h.keys, head = unit % h.keys, slot = past.slots[r];
        const int count = past.shared + past.ends[slot];
        const int first = h.window > 0 ? std::max(0, count - h.window) : 0;
        const auto at = [&](const T* shared, const T* own, int j) {
            return (j < past.shared ? shared + j * row : own + ((int64_t)slot * past.room + j - past.shared) * row) +
                   head * h.d;
        };
        const T* queries = q + ((int64_t)r * h.count + head * group) * h.d;
        T* to = out + ((int64_t)r * h.count + head * group) * h.d;
        const int width = padded<T>(count - first);
        std::vector<T> score((size_t)group * width, -INFINITY);
        for (int j = first; j < count; j++) {
            const T* key = at(shared_k, own_k, j);
            for (int g = 0; g < group; g++) {
                const T sum = dot(queries + g * h.d, key, h.d) * scale;
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
        std::fill(to, to + group * h.d, T(0));
        for (int j = first; j < count; j++) {
            const T* value = at(shared_v, own_v, j);
            for (int g = 0; g < group; g++) {
                const T share = score[(size_t)g * width + j - first];
#pragma omp simd
                for (int c = 0; c < h.d; c++) to[g * h.d + c] += share * value[c];
            }
        }
    }
}

}  // namespace

#define FOR_TYPE(T, NAME)                                                                                              \
    EXPORT void attention_forward_##NAME(int nodes, const int32_t* spans, const int32_t* positions, int tokens,        \
                                         int shared, int count, int keys, int d, double scale, double cap, int window, \
                                         const T* q, const T* k, const T* v, T* out, T* norms) {                       \
        attention_forward<T>({nodes, spans, positions, tokens, shared}, {count, keys, d, scale, cap, window}, q, k, v, \
                             out, norms);                                                                              \
    }                                                                                                                  \
    EXPORT void attention_backward_##NAME(int nodes, const int32_t* spans, const int32_t* positions, int tokens,       \
                                          int shared, int count, int keys, int d, double scale, double cap,            \
                                          int window, const T* q, const T* k, const T* v, const T* norms,              \
                                          const T* grad, T* dq, T* dk, T* dv) {                                        \
        attention_backward<T>({nodes, spans, positions, tokens, shared}, {count, keys, d, scale, cap, window}, q, k,   \
                              v, norms, grad, dq, dk, dv);                                                             \
    }                                                                                                                  \
    EXPORT void decode_##NAME(int rows, const int32_t* slots, const int32_t* ends, int shared, int room, int count,    \
                              int keys, int d, double scale, double cap, int window, const T* q, const T* shared_k,    \
                              const T* shared_v, const T* own_k, const T* own_v, T* out) {                             \
        decode<T>(rows, {slots, ends, shared, room}, {count, keys, d, scale, cap, window}, q, shared_k, shared_v,      \
                  own_k, own_v, out);                                                                                  \
    }

FOR_TYPE(float, f32)
FOR_TYPE(double, f64)
