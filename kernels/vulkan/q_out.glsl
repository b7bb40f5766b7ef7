/* SPDX-License-Identifier: MIT */
/* q_out.glsl - how integer tensors are read and written: docs/arithmetic.md 13. Bytes lie four in a word of a buffer; a place of one is counted in
 * bytes from the beginning of the binding. Whoever includes this declares `q_result`, the words of the result. */
#ifndef LB_Q_OUT_GLSL
#define LB_Q_OUT_GLSL

/* enum lb_q_type of core/plugin.h */
#define Q_U8  0u
#define Q_S8  1u
#define Q_S32 4u

const int FAR = 1 << 30; /* no zero point brings a number back from there */

/* Byte number i of a word, as the number that it is in the type. */
int q_byte(uint word, uint i, uint type)
{
    return type == Q_S8 ? bitfieldExtract(int(word), int(i * 8u), 8) : int(bitfieldExtract(word, int(i * 8u), 8));
}

ivec4 q_bytes(uint word, uint type)
{
    return ivec4(q_byte(word, 0u, type), q_byte(word, 1u, type), q_byte(word, 2u, type), q_byte(word, 3u, type));
}

/* v / 2^shift of a number of 64 bits, below 2^62, rounded to a whole number, half to even; held within -FAR and FAR. */
int q_shifted(int high, uint low, uint shift)
{
    bool is_far = shift > 31u;
    uint rest = shift & 31u, below = (1u << rest) - 1u;
    uint low_mask = is_far ? 0xFFFFFFFFu : below, high_mask = is_far ? below : 0u;
    uint low_half = low_mask - (low_mask >> 1), high_half = high_mask - (high_mask >> 1), carry;
    low_half = high_mask != 0u ? 0u : low_half;
    low = uaddCarry(low, low_half, carry);
    high += int(high_half + carry);
    bool is_tie = shift != 0u && ((low & low_mask) | (uint(high) & high_mask)) == 0u;
    uint carried = rest != 0u ? uint(high) << (32u - rest) : 0u;
    uint r = is_far ? uint(high >> rest) : low >> rest | carried;
    int over = is_far ? high >> 31 : high >> rest;
    r = is_tie ? r & ~1u : r;
    return over == int(r) >> 31 ? clamp(int(r), -FAR, FAR) : over < 0 ? -FAR : FAR;
}

/* v multiplier / 2^shift, likewise. */
int q_scaled(int v, int multiplier, uint shift)
{
    int high, low;
    imulExtended(v, multiplier, high, low);
    return q_shifted(high, uint(low), shift);
}

/* A byte of the result. */
uint q_held(int v, int zero, int least, int most)
{
    return uint(clamp(v + zero, least, most)) & 0xFFu;
}

uint q_word(uvec4 bytes)
{
    return (bytes.x | bytes.y << 8) | (bytes.z << 16 | bytes.w << 24);
}

/* The first `count` bytes of a word that nobody else writes. */
#define Q_PUT_OWN(index, word, count)                                                                                                      \
    q_result[index] = (count) < 4u ? bitfieldInsert(q_result[index], word, 0, int(count) * 8) : (word)

/* Bytes of a word that others write, too. */
void q_put_masked(uint index, uint word, uint mask)
{
    if (mask == 0xFFFFFFFFu) {
        q_result[index] = word;
    } else if (mask != 0u) {
        atomicAnd(q_result[index], ~mask);
        atomicOr(q_result[index], word & mask);
    }
}

/* The first `count` bytes of a word to place `to` and behind it. */
void q_put(uint to, uint word, uint count)
{
    uint shift = to % 4u * 8u, mask = count < 4u ? (1u << count * 8u) - 1u : 0xFFFFFFFFu;
    q_put_masked(to / 4u, word << shift, mask << shift);
    if (shift != 0u)
        q_put_masked(to / 4u + 1u, word >> (32u - shift), mask >> (32u - shift));
}

#endif
