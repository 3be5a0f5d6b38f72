// Counting every assignment of the simulation in which a fixed-point value loses bits. Not part of
// the design: compiled only with -DQAPFLOW_SANITIZE, which only the simulation of qapflow sets.
#ifndef QAPFLOW_SANITIZE_H_
#define QAPFLOW_SANITIZE_H_

#ifndef QAPFLOW_WATCHED
#error "these ap_types do not call qapflow_watch: assignments would go uncounted"
#endif

namespace qapflow {

// What assignments lost: results above and below what the type holds, and low bits rounded away.
struct losses {
    const char *name;
    long long above, below, rounded;
    losses *next;
    explicit losses(const char *name = 0) : name(name), above(0), below(0), rounded(0), next(0) {
        if (name) {
            next = first();
            first() = this;
        }
    }
    static losses *&first() {
        static losses *found = 0;
        return found;
    }
    void move_to(losses &to) {
        to.above += above;
        to.below += below;
        to.rounded += rounded;
        above = below = rounded = 0;
    }
};

// Where the next loss is counted: outside quantizers until the next edge is traced.
inline losses &outside() {
    static losses found;
    return found;
}

inline losses *&here() {
    static losses *found = &outside();
    return found;
}

// Counts for one quantizer as long as it lives.
struct at {
    losses *before;
    explicit at(losses &slot) : before(here()) { here() = &slot; }
    ~at() { here() = before; }
};

// A type with this many bits to saturate when it wraps: marks the types of the check itself.
enum { UNWATCHED = 999 };

template <bool LOSSLESS> struct watcher {
    template <class FROM, class TO> static void see(const FROM &, const TO &) {}
};

template <> struct watcher<false> {
    template <int W2, int I2, bool S2, ap_q_mode Q2, ap_o_mode O2, int N2, int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
    static void see(const ap_fixed_base<W2, I2, S2, Q2, O2, N2> &from, const ap_fixed_base<W, I, S, Q, O, N> &to) {
        // wide enough for the rounded source and for the result, so equal only if no bit was lost
        enum { WIDE = AP_MAX(I, I2) + 2, F = W - I, F2 = W2 - I2, FINE = AP_MAX(F, F2) };
        ap_fixed_base<WIDE + F, WIDE, true, Q, AP_WRAP, UNWATCHED> rounded(from), kept(to);
        here()->above += kept.V < rounded.V;
        here()->below += kept.V > rounded.V;
        ap_fixed_base<WIDE + FINE, WIDE, true, AP_TRN, AP_WRAP, UNWATCHED> exact(from), coarse(rounded);
        here()->rounded += !(exact.V == coarse.V);
    }
};

} // namespace qapflow

// Called at the end of every assignment between different types.
template <int W2, int I2, bool S2, ap_q_mode Q2, ap_o_mode O2, int N2, int W, int I, bool S, ap_q_mode Q, ap_o_mode O, int N>
inline void qapflow_watch(
    const ap_fixed_base<W2, I2, S2, Q2, O2, N2> &from, const ap_fixed_base<W, I, S, Q, O, N> &to
) {
    const bool holds = I - S >= I2 - S2 && (S || !S2) && W - I >= W2 - I2 && O != AP_SAT_SYM;
    qapflow::watcher<holds || N == qapflow::UNWATCHED>::see(from, to);
}

#endif
