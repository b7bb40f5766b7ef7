/* SPDX-License-Identifier: MIT */
/* config_tables.h - the option tables of an experiment, what the config files share, and formats that are read from JSON of other files. */
#ifndef LB_CONFIG_TABLES_H
#define LB_CONFIG_TABLES_H

#include "core/run/config.h"
#include "core/run/options.h"

extern const struct lb_table lb_experiment_table, lb_data_table, lb_model_table, lb_train_table, lb_format_table, lb_formats_file_table,
    lb_backend_table;

/* The formats.json that applies to a config; all NULL where there is none. */
struct lb_formats_file {
    char *path;
    json_t *root;    /* the whole file, checked */
    json_t *by_name; /* name -> that format's object */
};
int lb_formats_file_load(const char *config_path, struct lb_formats_file *out, struct lb_err *err);
void lb_formats_file_finish(struct lb_formats_file *f);

/* A format, from JSON that passed lb_format_table: a text is looked up in `known`, else it is a codec. */
int lb_format_resolve(const json_t *value, const struct lb_formats_file *known, struct lb_format_config *out, struct lb_err *err);

#endif
