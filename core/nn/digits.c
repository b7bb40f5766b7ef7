/* SPDX-License-Identifier: MIT */
#include "core/nn/dataset.h"
#include "kernels/canon.h"

#include <stddef.h>

/* A digit is drawn as a hand would: strokes through a few points, each point a little off; the sheet is stretched like rubber, slanted
 * and turned; the result is fitted to the image as MNIST does it, about 20 pixels high and centred, and drawn with a round soft pen.
 * Only IEEE operations of binary32 and canon_*: the same bytes everywhere. */

enum { SIDE = 28, CLASSES = 10, MAX_CONTROL = 16, MAX_VARIANTS = 4, STEPS = 5, MAX_PATH = MAX_CONTROL * STEPS + 1, ELASTIC = 4 };

/* Philox streams STREAM, STREAM + 1, ... of the image's index give its random words, four a stream. */
#define STREAM 0x64670000u

/* ---- The shapes ------------------------------------------------------------------------------------------------------------------ */

/* A point of a stroke in hundredths of the box, y downwards. The curve is a Catmull-Rom spline; a point given twice is a corner. */
struct control {
    unsigned char x, y;
};
#define UP                                                                                                                                 \
    {                                                                                                                                      \
        200, 0                                                                                                                             \
    } /* the pen is lifted */
#define END                                                                                                                                \
    {                                                                                                                                      \
        200, 1                                                                                                                             \
    }

static int is_up(struct control c)
{
    return c.x == 200;
}

static int is_end(struct control c)
{
    return c.x == 200 && c.y == 1;
}

/* clang-format off */
static const struct control shapes[CLASSES][MAX_VARIANTS][MAX_CONTROL] = {
    { /* 0: round; narrow and clockwise; with a tail where it closes */
        {{62, 6}, {38, 5}, {18, 30}, {16, 65}, {35, 93}, {62, 94}, {83, 68}, {84, 32}, {64, 8}, {48, 4}, END},
        {{50, 3}, {74, 20}, {79, 55}, {62, 92}, {38, 95}, {22, 65}, {26, 25}, {54, 4}, END},
        {{70, 12}, {45, 3}, {22, 26}, {15, 62}, {34, 94}, {62, 92}, {84, 62}, {82, 26}, {60, 6}, {44, 12}, END},
    },
    { /* 1: a bar; with a flag; with flag and foot */
        {{50, 3}, {50, 34}, {50, 66}, {50, 97}, END},
        {{50, 3}, {51, 34}, {49, 66}, {50, 97}, END},
        {{32, 24}, {52, 4}, {52, 4}, {51, 50}, {50, 97}, END},
        {{30, 26}, {51, 4}, {51, 4}, {51, 50}, {51, 95}, UP, {27, 96}, {76, 95}, END},
    },
    { /* 2: with a corner; with a loop at the foot; with a curved foot */
        {{20, 26}, {35, 6}, {62, 5}, {78, 26}, {65, 52}, {40, 75}, {19, 94}, {19, 94}, {50, 93}, {84, 92}, END},
        {{22, 22}, {40, 5}, {68, 10}, {75, 35}, {55, 65}, {28, 90}, {15, 88}, {22, 74}, {42, 80}, {62, 93}, {87, 88}, END},
        {{24, 16}, {48, 4}, {72, 16}, {70, 42}, {46, 70}, {22, 92}, {22, 92}, {42, 86}, {66, 95}, {86, 86}, END},
    },
    { /* 3: two bows; flat top; bows that meet in a small loop */
        {{20, 14}, {45, 4}, {74, 14}, {70, 38}, {42, 47}, {42, 47}, {75, 58}, {80, 82}, {52, 97}, {18, 88}, END},
        {{20, 8}, {50, 7}, {78, 6}, {78, 6}, {60, 25}, {43, 42}, {43, 42}, {74, 55}, {76, 85}, {45, 98}, {16, 86}, END},
        {{22, 18}, {44, 4}, {70, 12}, {68, 36}, {46, 48}, {38, 45}, {48, 43}, {74, 56}, {76, 84}, {48, 97}, {20, 86}, END},
    },
    { /* 4: open; closed; in one stroke */
        {{25, 5}, {20, 30}, {18, 55}, {18, 55}, {50, 54}, {86, 50}, UP, {68, 8}, {65, 40}, {62, 70}, {60, 98}, END},
        {{65, 3}, {40, 32}, {14, 62}, {14, 62}, {50, 62}, {88, 60}, UP, {65, 3}, {64, 50}, {62, 98}, END},
        {{20, 8}, {19, 36}, {34, 52}, {58, 46}, {77, 24}, {80, 5}, {80, 5}, {75, 50}, {68, 97}, END},
        {{28, 6}, {20, 32}, {17, 54}, {17, 54}, {48, 55}, {78, 52}, UP, {76, 4}, {70, 36}, {64, 70}, {62, 98}, END},
    },
    { /* 5: in one stroke; with the roof as a second stroke; round shoulder */
        {{80, 6}, {50, 7}, {28, 8}, {28, 8}, {25, 28}, {22, 46}, {22, 46}, {48, 38}, {76, 52}, {78, 78}, {54, 96}, {18, 90}, END},
        {{30, 8}, {27, 30}, {24, 46}, {24, 46}, {55, 40}, {80, 60}, {68, 90}, {40, 98}, {15, 88}, UP, {30, 8}, {55, 7}, {84, 4}, END},
        {{82, 8}, {52, 5}, {34, 12}, {26, 36}, {30, 46}, {56, 46}, {74, 64}, {66, 90}, {40, 97}, {16, 86}, END},
    },
    { /* 6: curved; straight back; wide bowl */
        {{68, 4}, {42, 20}, {22, 52}, {22, 80}, {42, 97}, {68, 90}, {76, 68}, {58, 54}, {34, 62}, {23, 78}, END},
        {{60, 3}, {42, 32}, {29, 62}, {34, 90}, {58, 97}, {76, 80}, {66, 62}, {44, 62}, {30, 78}, END},
        {{56, 3}, {32, 30}, {20, 64}, {32, 94}, {62, 96}, {84, 78}, {72, 58}, {44, 60}, {26, 80}, END},
    },
    { /* 7: plain; crossed; with a hook at the start; bent */
        {{16, 10}, {50, 9}, {82, 8}, {82, 8}, {64, 45}, {46, 97}, END},
        {{16, 10}, {50, 9}, {82, 8}, {82, 8}, {64, 45}, {44, 97}, UP, {34, 52}, {54, 50}, {76, 50}, END},
        {{18, 24}, {17, 8}, {17, 8}, {50, 8}, {82, 6}, {82, 6}, {70, 35}, {56, 65}, {52, 97}, END},
        {{18, 14}, {46, 8}, {76, 10}, {78, 26}, {64, 54}, {50, 97}, END},
    },
    { /* 8: one stroke like an S; two rings; begun in the middle */
        {{74, 16}, {50, 3}, {27, 17}, {36, 40}, {64, 56}, {76, 78}, {52, 97}, {25, 82}, {36, 58}, {62, 42}, {75, 20}, {66, 7}, END},
        {{50, 4}, {28, 15}, {32, 38}, {52, 46}, {73, 34}, {70, 12}, {48, 4}, UP, {52, 46}, {24, 66}, {32, 94}, {66, 95}, {78, 68},
         {52, 46}, END},
        {{50, 50}, {28, 30}, {38, 6}, {66, 7}, {72, 28}, {48, 50}, {26, 74}, {38, 96}, {66, 94}, {76, 74}, {52, 50}, END},
    },
    { /* 9: straight stem; curved tail; small head; open head */
        {{74, 22}, {52, 4}, {26, 16}, {24, 40}, {46, 52}, {70, 38}, {76, 14}, {76, 14}, {72, 55}, {66, 97}, END},
        {{72, 14}, {45, 4}, {24, 24}, {34, 48}, {60, 44}, {74, 18}, {76, 42}, {70, 76}, {50, 96}, {28, 90}, END},
        {{68, 14}, {46, 5}, {30, 20}, {36, 40}, {58, 38}, {70, 16}, {68, 44}, {58, 72}, {50, 98}, END},
        {{70, 8}, {42, 6}, {22, 28}, {34, 50}, {60, 44}, {76, 22}, {76, 22}, {74, 60}, {68, 97}, END},
    },
};
/* clang-format on */

static const unsigned variants[CLASSES] = {3, 4, 3, 3, 4, 3, 3, 4, 3, 4};

/* ---- Chance ---------------------------------------------------------------------------------------------------------------------- */

struct chance {
    uint64_t seed, image;
    uint32_t stream;
    unsigned left;
    canon_words words;
};

/* Uniform in [0, 1). */
static float uniform(struct chance *c)
{
    if (c->left == 0) {
        c->words = canon_random64(c->seed, c->stream++, c->image);
        c->left = 4;
    }
    return canon_unit(c->words.w[--c->left]);
}

/* Bell-shaped in (-reach, reach): the sum of three uniforms. */
static float around(struct chance *c, float reach)
{
    float a = uniform(c), b = uniform(c), d = uniform(c);
    return (((a + b) + d) - 1.5f) * (reach * (2.0f / 3.0f));
}

/* ---- From the shape to a path ---------------------------------------------------------------------------------------------------- */

/* A point of the path on its way from the box (y downwards, the middle at 0, height 1) to pixels. `up`: no line leads here. */
struct point {
    float x, y, pen;
    int up;
};

struct path {
    size_t n;
    struct point p[MAX_PATH];
};

static float spline(float a, float b, float c, float d, float t)
{
    return b + 0.5f * t * ((c - a) + t * (((2.0f * a - 5.0f * b) + (4.0f * c - d)) + t * (3.0f * (b - c) + (d - a))));
}

/* One stroke of n control points through a spline. */
static void add_stroke(struct path *path, const struct point *c, size_t n)
{
    path->p[path->n] = c[0];
    path->p[path->n++].up = 1;
    for (size_t i = 0; i + 1 < n; i++) {
        const struct point *a = &c[i ? i - 1 : 0], *b = &c[i], *d = &c[i + 1], *e = &c[i + 2 < n ? i + 2 : n - 1];
        for (int k = 1; k <= STEPS; k++) {
            float t = (float)k / (float)STEPS;
            struct point *q = &path->p[path->n++];
            q->x = spline(a->x, b->x, d->x, e->x, t);
            q->y = spline(a->y, b->y, d->y, e->y, t);
            q->pen = b->pen + t * (d->pen - b->pen);
            q->up = 0;
        }
    }
}

/* The strokes of one variant, each control point moved a little, with the pressure of the pen varying along them. */
static void write_strokes(struct chance *chance, const struct control *shape, float sloppy, struct path *path)
{
    struct point c[MAX_CONTROL];
    size_t n = 0;
    path->n = 0;
    for (size_t i = 0;; i++) {
        if (is_up(shape[i])) {
            add_stroke(path, c, n);
            n = 0;
            if (is_end(shape[i]))
                return;
            continue;
        }
        int corner = i && shape[i].x == shape[i - 1].x && shape[i].y == shape[i - 1].y;
        if (corner) { /* stays a corner */
            c[n] = c[n - 1];
        } else {
            c[n].x = (float)shape[i].x / 100.0f - 0.5f + around(chance, sloppy);
            c[n].y = (float)shape[i].y / 100.0f - 0.5f + around(chance, sloppy);
            c[n].pen = 1.0f + around(chance, 0.35f);
        }
        n++;
    }
}

static float smooth(float t)
{
    return t * t * (3.0f - 2.0f * t);
}

/* The rubber sheet: random vectors on a coarse grid, blended smoothly between its nodes. */
static void stretch(struct chance *chance, float reach, struct path *path)
{
    float dx[ELASTIC][ELASTIC], dy[ELASTIC][ELASTIC];
    for (int i = 0; i < ELASTIC; i++)
        for (int j = 0; j < ELASTIC; j++) {
            dx[i][j] = around(chance, reach);
            dy[i][j] = around(chance, reach);
        }
    for (size_t k = 0; k < path->n; k++) {
        struct point *p = &path->p[k];
        float u = canon_min(canon_max((p->x + 0.5f) * (ELASTIC - 1), 0.0f), (float)(ELASTIC - 1) - 0.001f);
        float v = canon_min(canon_max((p->y + 0.5f) * (ELASTIC - 1), 0.0f), (float)(ELASTIC - 1) - 0.001f);
        int j = (int)u, i = (int)v;
        float s = smooth(u - (float)j), t = smooth(v - (float)i);
        float x0 = dx[i][j] + s * (dx[i][j + 1] - dx[i][j]), x1 = dx[i + 1][j] + s * (dx[i + 1][j + 1] - dx[i + 1][j]);
        float y0 = dy[i][j] + s * (dy[i][j + 1] - dy[i][j]), y1 = dy[i + 1][j] + s * (dy[i + 1][j + 1] - dy[i + 1][j]);
        p->x += x0 + t * (x1 - x0);
        p->y += y0 + t * (y1 - y0);
    }
}

/* Slant, proportions and rotation. */
static void tilt(struct chance *chance, struct path *path)
{
    float slant = 0.14f + around(chance, 0.5f), wide = 0.92f + around(chance, 0.35f), angle = around(chance, 0.4f);
    float c = canon_cos(angle), s = canon_sin(angle);
    /* Sums only: gcc 12 at -O3 -mfma makes a fused vfmaddsub of a difference beside a sum, in spite of -ffp-contract=off. */
    float minus_s = -s;
    for (size_t k = 0; k < path->n; k++) {
        struct point *p = &path->p[k];
        float x = wide * p->x - slant * p->y, y = p->y;
        p->x = c * x + minus_s * y;
        p->y = s * x + c * y;
    }
}

/* From the box to pixels: scaled to the usual size, centred by its middle of mass, neither quite exactly, and kept inside the image. */
static void fit(struct chance *chance, float pen, struct path *path)
{
    float x0 = path->p[0].x, x1 = x0, y0 = path->p[0].y, y1 = y0, sum_x = 0.0f, sum_y = 0.0f;
    for (size_t k = 0; k < path->n; k++) {
        const struct point *p = &path->p[k];
        x0 = canon_min(x0, p->x);
        x1 = canon_max(x1, p->x);
        y0 = canon_min(y0, p->y);
        y1 = canon_max(y1, p->y);
        sum_x += p->x;
        sum_y += p->y;
    }
    float size = (20.5f + around(chance, 3.5f)) - 2.0f * pen, scale = size / canon_max(canon_max(x1 - x0, y1 - y0), 0.1f);
    float middle = (SIDE - 1) * 0.5f, edge = pen + 0.5f;
    float at_x = middle - scale * (sum_x / (float)path->n) + around(chance, 2.8f);
    float at_y = middle - scale * (sum_y / (float)path->n) + around(chance, 2.8f);
    at_x = canon_min(canon_max(at_x, edge - scale * x0), (float)(SIDE - 1) - edge - scale * x1);
    at_y = canon_min(canon_max(at_y, edge - scale * y0), (float)(SIDE - 1) - edge - scale * y1);
    for (size_t k = 0; k < path->n; k++) {
        struct point *p = &path->p[k];
        p->x = at_x + scale * p->x;
        p->y = at_y + scale * p->y;
        p->pen *= pen;
    }
}

/* ---- From the path to pixels ----------------------------------------------------------------------------------------------------- */

/* Half the width of the pen's soft edge, in pixels. */
static const float soft = 0.8f;

static int clamp_pixel(float v)
{
    return v < 0.0f ? 0 : v > (float)(SIDE - 1) ? SIDE - 1 : (int)v;
}

/* Lowers depth (the distance from a pixel's centre to the edge of the ink, negative inside) around one line from a to b. */
static void draw_line(const struct point *a, const struct point *b, float depth[SIDE][SIDE])
{
    float dx = b->x - a->x, dy = b->y - a->y, length2 = dx * dx + dy * dy, reach = canon_max(a->pen, b->pen) + soft;
    float inverse = length2 > 1e-6f ? 1.0f / length2 : 0.0f;
    int left = clamp_pixel(canon_min(a->x, b->x) - reach), right = clamp_pixel(canon_max(a->x, b->x) + reach + 1.0f);
    int top = clamp_pixel(canon_min(a->y, b->y) - reach), bottom = clamp_pixel(canon_max(a->y, b->y) + reach + 1.0f);
    for (int y = top; y <= bottom; y++)
        for (int x = left; x <= right; x++) {
            float px = (float)x - a->x, py = (float)y - a->y;
            float t = canon_min(canon_max((px * dx + py * dy) * inverse, 0.0f), 1.0f);
            float ex = px - t * dx, ey = py - t * dy;
            float d = canon_sqrt(ex * ex + ey * ey) - (a->pen + t * (b->pen - a->pen));
            depth[y][x] = canon_min(depth[y][x], d);
        }
}

static void draw_path(struct chance *chance, const struct path *path, unsigned char *pixels)
{
    float depth[SIDE][SIDE];
    for (int i = 0; i < SIDE * SIDE; i++)
        depth[i / SIDE][i % SIDE] = (float)SIDE;
    for (size_t k = 1; k < path->n; k++)
        if (!path->p[k].up)
            draw_line(&path->p[k - 1], &path->p[k], depth);
    float ink = 255.0f - 35.0f * uniform(chance);
    for (int i = 0; i < SIDE * SIDE; i++) {
        float d = depth[i / SIDE][i % SIDE];
        pixels[i] = 0;
        if (d < soft) {
            float v = d <= -soft ? 1.0f : smooth((soft - d) / (2.0f * soft));
            pixels[i] = (unsigned char)(ink * v * (1.0f - 0.1f * uniform(chance)) + 0.5f);
        }
    }
}

void lb_digits_draw(uint64_t seed, uint64_t first, size_t n, unsigned char *pixels, unsigned char *labels)
{
    struct path path;
    for (size_t i = 0; i < n; i++) {
        struct chance chance = {.seed = seed, .image = first + i, .stream = STREAM};
        unsigned label = (unsigned)(chance.image % CLASSES);
        unsigned variant = (unsigned)(uniform(&chance) * (float)variants[label]);
        float broad = uniform(&chance), pen = 0.75f + 1.0f * (broad * uniform(&chance)) + 0.2f * broad;
        write_strokes(&chance, shapes[label][variant], 0.11f, &path);
        stretch(&chance, 0.15f, &path);
        tilt(&chance, &path);
        fit(&chance, pen, &path);
        draw_path(&chance, &path, pixels + i * (SIDE * SIDE));
        labels[i] = (unsigned char)label;
    }
}
