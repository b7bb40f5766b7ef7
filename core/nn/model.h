/* SPDX-License-Identifier: MIT */
/* model.h - a network: its layers with their shapes, its parameters in host memory, and its buffers on one device. */
#ifndef LB_MODEL_H
#define LB_MODEL_H

#include "core/format/format.h"
#include "core/format/safetensors.h"
#include "core/nn/backend.h"
#include "core/run/config.h"

/* A parameter tensor: weights (out, in) or (O, C, kh, kw), biases (out). Named "<layer>.weight", "<layer>.bias", counting all of model.layers. */
struct lb_param_tensor {
    char name[32];
    size_t layer; /* index in model.layers */
    unsigned ndim;
    size_t shape[4], elems;
    float *value; /* host memory, owned by the model; NULL after lb_model_shape */
    int is_bias;
    size_t fan_in, fan_out;
    struct lb_init_config init;
    uint32_t stream; /* of its initial random numbers */
};

/* A layer: x (batch, in) -> y (batch, out). */
struct lb_layer {
    int type, act; /* enum lb_layer_type, enum lb_activation */
    float alpha;
    size_t in, out;      /* elements a sample */
    struct lb_conv conv; /* conv2d; n is filled in per batch */
    int weight, bias;    /* index into params, or -1 */
    size_t index;        /* in model.layers of the config */
};

struct lb_model {
    const struct lb_model_config *config;
    size_t channels, height, width, classes; /* of the input, and of the output */
    struct lb_layer *layers;
    size_t n_layers;
    struct lb_param_tensor *params;
    size_t n_params, n_weights; /* tensors; elements in all of them */
    int softmax_last;           /* the last activation is softmax: logits are what goes into it */
    int logits;                 /* there are logits: softmax or linear last */
};

/* Checks shapes (kernel against padded image, last layer against the classes, softmax only last) and allocates zeroed parameters. Errors name
 * "model.layers[2]: ...". */
int lb_model_create(const struct lb_model_config *config, size_t channels, size_t height, size_t width, size_t classes,
                    struct lb_model **out, struct lb_err *err);
void lb_model_destroy(struct lb_model *m);

/* The same without values: shapes only, for a net whose weights come from a file and stay in their formats. */
int lb_model_shape(const struct lb_model_config *config, size_t channels, size_t height, size_t width, size_t classes,
                   struct lb_model **out, struct lb_err *err);

/* Initial weights from Philox, streams by parameter: docs/arithmetic.md, "Initial weights". */
void lb_model_init(struct lb_model *m, uint64_t seed);

/* Sets the parameters of config->ablate's layers to 0. */
void lb_model_ablate(struct lb_model *m);

/* The parameters as views in a collection. */
int lb_model_tensors(const struct lb_model *m, struct lb_safetensors *st, struct lb_err *err);

/* Parameters to and from a safetensors file of F32 tensors by name. `names` maps ours to the file's, or NULL. */
int lb_model_save(const struct lb_model *m, const char *path, struct lb_err *err);
int lb_model_load(struct lb_model *m, const char *path, const json_t *names, struct lb_err *err);

/* The SHA-256 of the parameters, as lb_safetensors_sha256 of the saved file. */
int lb_model_sha256(const struct lb_model *m, char hex[65], struct lb_err *err);

/* A model on a device, for batches of up to `batch` samples; `train` adds what backward and update need. */
struct lb_net;
int lb_net_create(const struct lb_model *m, struct lb_dev *d, size_t batch, int train, struct lb_net **out, struct lb_err *err);
void lb_net_destroy(struct lb_net *n);

/* A net for inference whose weights stay in their formats, on the device too; only biases become binary32, and weights that the device cannot
 * keep packed (lb_net_unpacked). */
struct lb_net_format {
    const struct lb_safetensors *weights; /* parameters by our names, in any formats */
    const struct lb_format *
        activations; /* mode wa: of every layer's input, and outlives the net; calibrated scales are in the file (lb_calibrate). NULL: binary32 */
    int sums;        /* outputs too, before the activation */
    int integer;          /* modes w8a8, w4a8: products of integers, "unsupported" where the device has none */
    size_t integer_block; /* of them: inputs of dense layers that share a scale; 0: a sample's, as in convolutions */
    uint64_t seed;        /* of stochastic rounding of activations */
};
int lb_net_create_packed(const struct lb_model *m, struct lb_dev *d, size_t batch, const struct lb_net_format *f, struct lb_net **out,
                         struct lb_err *err);
/* How many weights had to be unpacked, and how many layers read what the host formatted, since the device does not know how. */
int lb_net_unpacked(const struct lb_net *n);

/* What `layer` read in the last batch of lb_net_infer, (batch, in). */
int lb_net_layer_input(struct lb_net *n, size_t layer, size_t batch, float *x, struct lb_err *err);

/* What `layer` gave in the last batch of lb_net_infer, (batch, out), as the next layer reads it. */
struct lb_layer_codes {
    int integer;      /* it computes with integers, */
    int are;          /* and gave codes */
    size_t saturated; /* how many of them lie at an end of their range that is not their zero */
};
int lb_net_layer_output(struct lb_net *n, size_t layer, size_t batch, float *y, struct lb_layer_codes *codes, struct lb_err *err);
size_t lb_net_batch(const struct lb_net *n); /* most samples of a batch */

/* What `layer` reads for all of x (n, in): seen (n, in of the layer). y (batch of the net, classes) is room. Layer by layer, so that no more than one layer's
 * inputs are held. */
int lb_net_layer_inputs(struct lb_net *net, size_t layer, const float *x, size_t n, float *seen, float *y, struct lb_err *err);

int lb_net_upload(struct lb_net *n, struct lb_err *err);                       /* parameters: model -> device */
int lb_net_download(struct lb_net *n, struct lb_model *m, struct lb_err *err); /* and back */

/* Outputs of n samples x (n, in), in batches: y (n, classes); logits (n, classes) may be NULL. */
int lb_net_infer(struct lb_net *net, const float *x, size_t n, float *y, float *logits, struct lb_err *err);

/* One training step on `n` samples (n <= batch): forward, loss, backward, update. `loss` (n), may be NULL: each sample's loss. */
struct lb_step_args {
    int loss, reduction; /* enum lb_loss_kind, enum lb_reduction */
    float lr, momentum, decay;
};
int lb_net_step(struct lb_net *net, const struct lb_step_args *args, const float *x, const int32_t *labels, size_t n, float *loss,
                struct lb_err *err);

/* Where a step's x (batch, in) may be made in place, so that none is copied; NULL where the device has memory of its own. */
float *lb_net_input(struct lb_net *net);

/* The gradient of parameter i after a step, for tests: (elems). */
int lb_net_gradient(struct lb_net *net, size_t i, float *out, struct lb_err *err);

#endif
