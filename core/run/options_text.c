/* SPDX-License-Identifier: MIT */
/* Option tables in words: what a row wants, what was found, and the help. */
#include "core/run/options.h"
#include "core/base/mem.h"
#include "core/base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

char *lb_number_text(double v, char *buf, size_t size)
{
    if (v == floor(v) && fabs(v) <= LB_INT_MAX) {
        snprintf(buf, size, "%.0f", v);
        return buf;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, size, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    return buf;
}

/* Cuts after `max` bytes, at a whole character, and says so. */
static void shorten(char *s, size_t max)
{
    if (strlen(s) <= max)
        return;
    while (max && ((unsigned char)s[max] & 0xc0) == 0x80)
        max--;
    memcpy(s + max, "...", 4);
}

char *lb_json_shown(const json_t *value, char *buf, size_t size)
{
    char *text = NULL;
    if (json_is_object(value))
        snprintf(buf, size, "an object");
    else if (json_is_array(value))
        snprintf(buf, size,
                 json_array_size(value) == 1 ? "an array of 1 value"
                 : json_array_size(value)    ? "an array of %zu values"
                                             : "an empty array",
                 json_array_size(value));
    else if (json_is_real(value))
        lb_number_text(json_real_value(value), buf, size);
    else if ((text = lb_json_dump(value, JSON_ENCODE_ANY)))
        snprintf(buf, size, "%s", text);
    else
        snprintf(buf, size, "a value");
    lb_free(text);
    shorten(buf, 60);
    return buf;
}

/* " >= 1", " from 1 to 9", " >= 0 and < 1". A limit of a thousand or more only guards against slips, so it is named where it was passed. */
static void add_range(const struct lb_option *o, int above, char *buf, size_t size)
{
    char low[40], high[40];
    size_t n = strlen(buf);
    int both = above || fabs(o->max) < 1000;
    lb_number_text(o->min, low, sizeof low);
    lb_number_text(o->max, high, sizeof high);
    if (both && !(o->flags & (LB_ABOVE_MIN | LB_BELOW_MAX)))
        snprintf(buf + n, size - n, " from %s to %s", low, high);
    else if (o->min <= -1000 && !both)
        return;
    else
        snprintf(buf + n, size - n, both ? " %s %s and %s %s" : " %s %s", o->flags & LB_ABOVE_MIN ? ">" : "≥", low,
                 o->flags & LB_BELOW_MAX ? "<" : "≤", high);
}

static void add_choices(const char *const *choices, char *buf, size_t size)
{
    for (size_t i = 0; choices[i]; i++) {
        size_t n = strlen(buf);
        snprintf(buf + n, size - n, "%s\"%s\"", i ? ", " : choices[1] ? "one of " : "", choices[i]);
    }
}

char *lb_options_wanted(const struct lb_option *o, int above, char *buf, size_t size)
{
    static const char *const nouns[] = {
        [LB_OPT_BOOL] = "true or false",
        [LB_OPT_INT] = "an integer",
        [LB_OPT_REAL] = "a number",
        [LB_OPT_TEXT] = "a text",
        [LB_OPT_CHOICE] = "",
        [LB_OPT_PAIR] = "an integer",
        [LB_OPT_INTS] = "integers",
        [LB_OPT_SCALAR] = "a number or a text",
        [LB_OPT_MAP] = "an object",
        [LB_OPT_OBJECT] = "an object",
        [LB_OPT_LIST] = "an array",
    };
    snprintf(buf, size, "%s", o->choices ? "" : nouns[o->type]);
    if (o->type == LB_OPT_INTS)
        snprintf(buf, size, "%zu integers", o->n);
    if (o->choices)
        add_choices(o->choices, buf, size);
    else if (o->type == LB_OPT_INT || o->type == LB_OPT_REAL || o->type == LB_OPT_PAIR || o->type == LB_OPT_INTS)
        add_range(o, above, buf, size);
    else if (o->type == LB_OPT_TEXT && o->flags & LB_WORD)
        snprintf(buf, size, "a text of letters, digits, \"_\", \".\" and \"-\" (the last two not first)");
    else if (o->type == LB_OPT_TEXT && !(o->flags & LB_LINES))
        snprintf(buf, size, "a text of one line, not empty");
    else if ((o->type == LB_OPT_OBJECT || o->type == LB_OPT_MAP) && o->table->text)
        snprintf(buf, size, "a text or an object");
    size_t n = strlen(buf);
    if (o->type == LB_OPT_PAIR)
        snprintf(buf + n, size - n, ", or two of them");
    return buf;
}

/* ---- Help ---- */

enum { MAX_TABLES = 32 };

struct seen {
    const struct lb_table *tables[MAX_TABLES];
    size_t n;
};

static void collect(struct seen *s, const struct lb_table *t)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->tables[i] == t)
            return;
    if (s->n == MAX_TABLES)
        return;
    s->tables[s->n++] = t;
    for (const struct lb_option *o = t->options; o->help; o++) {
        const struct lb_table *below = o->item ? o->item->table : o->table;
        if (below)
            collect(s, below);
    }
}

static void print_option(const struct lb_option *o, FILE *out)
{
    char wanted[400];
    lb_options_wanted(o->item ? o->item : o, 1, wanted, sizeof wanted);
    const struct lb_table *t = o->item ? o->item->table : o->table;
    fprintf(out, "  %-14s %s\n                 ", o->key ? o->key : "(other keys)", o->help);
    if (o->item)
        fprintf(out, "an array of %g to %g%s, each ", o->min, o->max, o->flags & LB_UNIQUE ? " different values" : " values");
    fputs(wanted, out);
    if (t)
        fprintf(out, " (%s below)", t->name);
    if (o->flags & LB_REQUIRED)
        fputs("; required", out);
    else if (o->value)
        fprintf(out, "; default %s", o->value);
    fputc('\n', out);
}

static void print_rule(const struct lb_rule *r, FILE *out)
{
    static const char *const verbs[] = {[LB_RULE_NEEDS] = "required where", [LB_RULE_ONLY] = "only where", [LB_RULE_NOT] = "not where"};
    fputs(r->kind == LB_RULE_ONE ? "  exactly one of " : "  ", out);
    for (size_t i = 0; i < 6 && r->keys[i]; i++)
        fprintf(out, "%s%s", i ? ", " : "", r->keys[i]);
    if (r->kind != LB_RULE_ONE)
        fprintf(out, ": %s %s is %s", verbs[r->kind], r->when, r->values[0] ? r->values[0] : "given");
    for (size_t i = 1; r->kind != LB_RULE_ONE && i < 6 && r->values[i]; i++)
        fprintf(out, " or %s", r->values[i]);
    fputc('\n', out);
}

void lb_options_help(const struct lb_table *table, FILE *out)
{
    struct seen s = {0};
    collect(&s, table);
    for (size_t i = 0; i < s.n; i++) {
        const struct lb_table *t = s.tables[i];
        fprintf(out, "%s%s: %s\n", i ? "\n" : "", t->name, t->help);
        if (t->text)
            fprintf(out, "  A text stands for an object with that \"%s\" alone.\n", t->text->key);
        for (const struct lb_option *o = t->options; o->help; o++)
            print_option(o, out);
        if (t->rest)
            print_option(t->rest, out);
        for (const struct lb_rule *r = t->rules; r && r->kind; r++)
            print_rule(r, out);
    }
}
