/* SPDX-License-Identifier: MIT */
#include "core/plugins.h"

#include <ctype.h>
#include <string.h>

enum { LONGEST = 63 };

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static int same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b, whatever the case. */
static unsigned distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned rows[3][LONGEST + 1] = {{0}};
    for (unsigned j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(least(above[j], now[j - 1]) + 1, above[j - 1] + !same(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                now[j] = least(now[j], above2[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

const char *lb_nearest(const char *word, const char *const *words, size_t n)
{
    const size_t length = strlen(word);
    const char *best = NULL;
    if (!length || length > LONGEST)
        return NULL;
    /* Near: a third of the letters may be wrong, of a short word one. */
    unsigned limit = length < 6 ? 1 : (unsigned)(length / 3);
    for (size_t i = 0; i < n; i++) {
        size_t m = words[i] ? strlen(words[i]) : 0;
        if (!m || m > LONGEST)
            continue;
        unsigned d = distance(word, length, words[i], m);
        if (d > limit)
            continue;
        best = words[i];
        if (!d)
            break;
        limit = d - 1;
    }
    return best;
}
