/* SPDX-License-Identifier: MIT */
#include "kernels/cpu/packed.h"

size_t packed_group(unsigned bits, size_t cols, size_t lanes)
{
    const size_t whole = cols / PACKED_BLOCK, pairs = (cols % PACKED_BLOCK + 1) / 2;
    if (bits == 32)
        return cols * lanes;
    return (whole * bits + (pairs * bits + 15) / 16) * lanes;
}

/* n <= 25 bits from bit `at` on, of a stream of which `bytes` bytes may be read. */
static uint32_t bits_at(const unsigned char *p, size_t at, unsigned n, size_t bytes)
{
    const size_t byte = at / 8;
    uint32_t v = 0;
    for (size_t i = 0; i < 4 && byte + i < bytes && 8 * i < at % 8 + n; i++)
        v |= (uint32_t)p[byte + i] << 8 * i;
    return (v >> at % 8) & ((1u << n) - 1);
}

/* A block of up to 32 codes of one row, from element `first` of a stream of `bytes` bytes. */
static void order_block(uint32_t *to, unsigned bits, size_t lanes, const unsigned char *from, size_t bytes, size_t first, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const uint32_t code = bits_at(from, (first + k) * bits, bits, bytes);
        const size_t at = k / 2 * bits, word = at / 16, half = k % 2 * 16;
        to[word * lanes] |= (code << at % 16 & 0xffffu) << half;
        if (at % 16 + bits > 16)
            to[(word + 1) * lanes] |= code >> (16 - at % 16) << half;
    }
}

void packed_order(uint32_t *to, unsigned bits, size_t cols, size_t lanes, const unsigned char *from, size_t row_bytes, size_t row_codes,
                  size_t first, size_t n)
{
    const size_t group = packed_group(bits, cols, lanes);
    for (size_t i = 0; i < group; i++)
        to[i] = 0;
    for (size_t lane = 0; lane < n; lane++) {
        const size_t row = first + lane, begin = row * row_codes;
        const size_t bytes = ((begin + cols) * bits + 7) / 8;
        for (size_t k = 0; k < cols; k += PACKED_BLOCK)
            order_block(to + k / PACKED_BLOCK * bits * lanes + lane, bits, lanes, from + row * row_bytes, bytes, begin + k,
                        cols - k < PACKED_BLOCK ? cols - k : PACKED_BLOCK);
    }
}
