/* SPDX-License-Identifier: MIT */
/* q_images.comp - ops on images of bytes, channels last: an invocation makes four neighbours of the result. One of these is defined:
 *
 *   POOL     the largest, or the average, of a window's taps that lie inside
 *   IM2COL   a row for each window: its taps, one after the other
 *   COL2IM   sums of all elements of such rows that are one of the image
 *
 * QUADS: four neighbours are channels of one position, and those of the input are a word. */
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "kernels/vulkan/common.glsl"

layout(binding = 0) readonly buffer Input { uint x_words[]; };
layout(binding = 1) readonly buffer Scales { int scales[]; };
layout(binding = 3) buffer Result { uint q_result[]; };

layout(push_constant) uniform Arguments {
    uvec4 at;
    uint count;          /* elements of the result */
    uint x_from, y_from; /* bytes */
    uint h, w, c, kh, kw, stride, pad, dilation, oh, ow;
    uint kind; /* POOL: enum lb_q_pool_kind.  COL2IM: 1: sums stay int32 */
    uint x_type;
    int x_zero;
    int multiplier;
    uint shift;
    int zero, low, high;
};
#include "kernels/vulkan/q_out.glsl"

#ifdef QUADS
#define PLACES 1u
#else
#define PLACES 4u
#endif
#define TOGETHER (4u / PLACES)
#define EACH_PLACE [[unroll]] for (uint p = 0u; p < PLACES; p++)
#define EACH_ELEMENT [[unroll]] for (uint e = p * TOGETHER; e < (p + 1u) * TOGETHER; e++)

/* Element number e of images of this size. */
struct Place {
    uint image, y, x, channel;
};

Place place(uint e, uint tall, uint wide)
{
    uint position = e / c, row = position / wide, image = row / tall;
    return Place(image, row - image * tall, position - row * wide, e - position * c);
}

/* Element e of four that begin at place `at_`. */
uint taken(uint at_, uint e)
{
    uint i = at_ + e % TOGETHER;
    return bitfieldExtract(x_words[at.x + i / 4u], int(i % 4u * 8u), 8);
}

int number(uint byte)
{
    return x_type == Q_S8 ? bitfieldExtract(int(byte), 0, 8) : int(byte);
}

#if defined(POOL)

ivec4 made(uint from)
{
    Place out_[PLACES];
    ivec4 most = ivec4(-FAR), sum = ivec4(0), r;
    uint taps[PLACES];
    EACH_PLACE {
        out_[p] = place(min(from + p, count - 1u), oh, ow);
        taps[p] = 0u;
    }
    for (uint tap = 0u, ky = 0u, kx = 0u; tap < kh * kw; tap++) {
        EACH_PLACE {
            uint y = out_[p].y * stride + ky - pad, x = out_[p].x * stride + kx - pad; /* wrap to huge where outside */
            bool inside = y < h && x < w;
            uint at_ = inside ? x_from + ((out_[p].image * h + y) * w + x) * c + out_[p].channel : 0u;
            taps[p] += inside ? 1u : 0u;
            EACH_ELEMENT {
                int v = number(taken(at_, e));
                most[e] = inside ? max(most[e], v) : most[e];
                sum[e] += inside ? v - x_zero : 0;
            }
        }
        kx++;
        bool next_row = kx == kw;
        kx = next_row ? 0u : kx;
        ky += next_row ? 1u : 0u;
    }
    if (kind == 0u)
        return most;
    EACH_PLACE {
        uint scale = at.y + 2u * (max(taps[p], 1u) - 1u);
        EACH_ELEMENT r[e] = int(q_held(q_scaled(sum[e], scales[scale], uint(scales[scale + 1u])), zero, low, high));
    }
    return r;
}

#elif defined(IM2COL)

ivec4 made(uint from)
{
    ivec4 r;
    EACH_PLACE {
        uint e0 = min(from + p, count - 1u), tap_of_all = e0 / c, channel = e0 - tap_of_all * c, row = tap_of_all / (kh * kw);
        uint tap = tap_of_all - row * (kh * kw), ky = tap / kw, kx = tap - ky * kw;
        Place out_ = place(row * c, oh, ow);
        uint y = out_.y * stride + ky * dilation - pad, x = out_.x * stride + kx * dilation - pad; /* wrap to huge where outside */
        bool inside = y < h && x < w;
        uint at_ = inside ? x_from + ((out_.image * h + y) * w + x) * c + channel : 0u;
        EACH_ELEMENT r[e] = inside ? int(taken(at_, e)) : zero;
    }
    return r;
}

#else

/* Which output position along one side sees place i by tap t; huge where none does. */
uint seen_by(uint i, uint t, uint positions)
{
    uint reach = i + pad - t * dilation, o = reach / stride;
    return i + pad >= t * dilation && o * stride == reach && o < positions ? o : 0xFFFFFFFFu;
}

ivec4 made(uint from)
{
    Place in_[PLACES];
    ivec4 sum = ivec4(0);
    EACH_PLACE in_[p] = place(min(from + p, count - 1u), h, w);
    for (uint tap = 0u, ky = 0u, kx = 0u; tap < kh * kw; tap++) {
        EACH_PLACE {
            uint y = seen_by(in_[p].y, ky, oh), x = seen_by(in_[p].x, kx, ow);
            bool inside = max(y, x) != 0xFFFFFFFFu;
            uint row = (in_[p].image * oh + y) * ow + x, at_ = inside ? x_from + (row * (kh * kw) + tap) * c + in_[p].channel : 0u;
            EACH_ELEMENT sum[e] += inside ? number(taken(at_, e)) - x_zero : 0;
        }
        kx++;
        bool next_row = kx == kw;
        kx = next_row ? 0u : kx;
        ky += next_row ? 1u : 0u;
    }
    if (kind != 0u)
        return sum;
    [[unroll]] for (uint e = 0u; e < 4u; e++) sum[e] = int(q_held(q_scaled(sum[e], multiplier, shift), zero, low, high));
    return sum;
}

#endif

void main()
{
    uint from = 4u * lb_index();
    if (from >= count)
        return;
    ivec4 v = made(from);
#ifdef COL2IM
    [[unroll]] for (uint e = 0u; e < 4u; e++) {
        if (kind != 0u && from + e < count)
            q_result[at.w + from + e] = uint(v[e]);
    }
    if (kind != 0u)
        return;
#endif
    q_put(at.w * 4u + y_from + from, q_word(uvec4(v) & 0xFFu), min(count - from, 4u));
}
