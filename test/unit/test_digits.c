/* SPDX-License-Identifier: MIT */
/* core/nn/digits.c: the same bytes from every compiler (a committed hash), images that depend on seed and index alone, and a task of
 * sensible difficulty. */
#include "core/base/io.h"
#include "core/nn/dataset.h"

#include <criterion/criterion.h>
#include <string.h>

enum { PIXELS = 28 * 28, N = 1000 };

/* SHA-256 over the pixels of 100 images and then their labels. A change here is a change of every table made from digits. */
Test(digits, vectors)
{
    static const struct {
        uint64_t seed, first;
        const char *sha256;
    } cases[] = {
        {1, 0, "ccc5d930368644a23c64787716384ba1153f91560b8896de21fcc254dbdf6450"},
        {1, (uint64_t)1 << 32, "d5646644678b4c467c74b174080d2f688f32decead69ddd476a099d2087804f6"},
        {UINT64_MAX, UINT64_MAX - 50, "bc54d40cc5d640165e30c2c544860391cd6eaef6515c74fb76b0085c28e65e67"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static unsigned char image[100 * PIXELS + 100];
        char hex[65];
        lb_digits_draw(cases[i].seed, cases[i].first, 100, image, image + 100 * PIXELS);
        cr_assert(lb_sha256(image, sizeof image, hex, NULL) == 0);
        cr_expect_str_eq(hex, cases[i].sha256, "case %zu: %s", i, hex);
    }
}

Test(digits, an_image_depends_on_seed_and_index_alone)
{
    static unsigned char together[20][PIXELS], alone[PIXELS];
    unsigned char labels[20], label;
    lb_digits_draw(7, 100, 20, together[0], labels);
    for (size_t i = 0; i < 20; i++) {
        lb_digits_draw(7, 100 + i, 1, alone, &label);
        cr_expect(memcmp(alone, together[i], PIXELS) == 0 && label == labels[i], "image %zu", i);
        cr_expect(label == (100 + i) % 10);
        lb_digits_draw(8, 100 + i, 1, alone, &label);
        cr_expect(memcmp(alone, together[i], PIXELS) != 0, "image %zu is the same for another seed", i);
        lb_digits_draw(7 + ((uint64_t)1 << 32), 100 + i, 1, alone, &label);
        cr_expect(memcmp(alone, together[i], PIXELS) != 0, "image %zu ignores the seed's upper half", i);
    }
}

/* Ink as MNIST has it: something bright, mostly background, nothing at the border of the image. */
Test(digits, ink)
{
    static unsigned char image[N][PIXELS], labels[N];
    lb_digits_draw(3, 0, N, image[0], labels);
    for (size_t i = 0; i < N; i++) {
        unsigned brightest = 0, inked = 0, corner = 0;
        for (size_t p = 0; p < PIXELS; p++) {
            brightest = image[i][p] > brightest ? image[i][p] : brightest;
            inked += image[i][p] > 0;
            corner += (p < 28 || p >= PIXELS - 28) && image[i][p] > 200;
        }
        cr_expect(brightest > 190 && inked > 30 && inked < PIXELS / 2 && corner == 0, "image %zu: brightest %u, inked %u, border %u", i,
                  brightest, inked, corner);
    }
}

/* The class whose mean image is nearest: far better than chance, far from solved. */
Test(digits, nearest_mean_is_not_enough)
{
    static unsigned char train[N][PIXELS], test[N][PIXELS], y[N], y_test[N];
    static double mean[10][PIXELS];
    lb_digits_draw(1, 0, N, train[0], y);
    lb_digits_draw(1, (uint64_t)1 << 32, N, test[0], y_test);
    for (size_t i = 0; i < N; i++)
        for (size_t p = 0; p < PIXELS; p++)
            mean[y[i]][p] += train[i][p] / (N / 10.0);
    int right = 0;
    for (size_t i = 0; i < N; i++) {
        unsigned best = 0;
        double least = 1e300;
        for (unsigned k = 0; k < 10; k++) {
            double d = 0;
            for (size_t p = 0; p < PIXELS; p++)
                d += (test[i][p] - mean[k][p]) * (test[i][p] - mean[k][p]);
            if (d < least) {
                least = d;
                best = k;
            }
        }
        right += best == y_test[i];
    }
    cr_expect(right > N * 55 / 100 && right < N * 90 / 100, "%d of %d right", right, N);
}

Test(digits, speed)
{
    static unsigned char image[2500][PIXELS], labels[2500];
    double start = lb_seconds();
    lb_digits_draw(1, 0, 2500, image[0], labels);
    double took = lb_seconds() - start;
    cr_expect(took < 3.0, "2500 images took %.2f s", took); /* 0.05 s built as usual; a sanitizer and a busy machine have their time */
}
