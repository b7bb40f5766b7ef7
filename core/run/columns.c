/* SPDX-License-Identifier: MIT */
#include "core/run/columns.h"

#include <stdio.h>
#include <string.h>

const struct lb_column lb_table_columns[] = {
    {"format", LB_FROM_TRIAL, 0, "name of the format"},
    {"codec", LB_FROM_TRIAL, 0, "its codec"},
    {"scale", LB_FROM_TRIAL, 0, "its scaling"},
    {"mode", LB_FROM_TRIAL, 0,
     "w: weights and biases are in the format; wa: what layers read, too; w8a8, w4a8: what layers read in int8, integer products; integer: "
     "the whole network on integer tensors, calibrated"},
    {"numerics", LB_FROM_TRIAL, 0, "exact: the bits of docs/arithmetic.md; fast: close to them"},
    {"backend", LB_FROM_TRIAL, 0, "what ran the network"},
    {"seed", LB_FROM_TRIAL, 0, "of initial weights, shuffles and stochastic rounding"},
    {"quality", LB_FROM_ROW, 4, "mean of max(0, 100 - deviation), percent"},
    {"avg_dev", LB_FROM_ROW, 4, "mean deviation, percent"},
    {"max_dev", LB_FROM_ROW, 4, "largest deviation, percent"},
    {"top1", LB_FROM_ROW, 4, "accuracy on labels, percent"},
    {"top1_delta", LB_FROM_ROW, 4, "top1 less that of the F32 network, points"},
    {"agreement", LB_FROM_ROW, 4, "samples with the F32 network's answer, percent"},
    {"kl", LB_FROM_ROW, -1, "mean KL(F32 || format) of softmax(logits), nats; empty without logits"},
    {"sqnr_db", LB_FROM_ROW, 2, "signal to quantization noise over all weights, dB"},
    {"bits_per_weight", LB_FROM_ROW, 4, "weight_bytes * 8 / weights"},
    {"file_bytes", LB_FROM_ROW, 0, "size of the safetensors file"},
    {"weight_bytes", LB_FROM_ROW, 0, "codes and scales"},
    {"packed", LB_FROM_ROW, 0,
     "yes: weights are computed with as stored, activations formatted on the device; no: some weights were unpacked to binary32 first, or "
     "the host formatted activations"},
    {"max_abs_diff", LB_FROM_ROW, -1, "largest difference of outputs from the same trial on cpu_ref"},
    {"diff_elements", LB_FROM_ROW, 0, "outputs that differ from it in any bit"},
    {"max_ulp", LB_FROM_ROW, 0, "largest distance from it in binary32 steps"},
    {"hist_le10", LB_FROM_ROW, 0, "samples with a deviation of at most 10 percent"},
    {"hist_le20", LB_FROM_ROW, 0, "more than 10, at most 20"},
    {"hist_le30", LB_FROM_ROW, 0, "more than 20, at most 30"},
    {"hist_le40", LB_FROM_ROW, 0, "more than 30, at most 40"},
    {"hist_le50", LB_FROM_ROW, 0, "more than 40, at most 50"},
    {"hist_le100", LB_FROM_ROW, 0, "more than 50, at most 100"},
    {"hist_gt100", LB_FROM_ROW, 0, "more than 100"},
    {"weights_sha256", LB_FROM_ROW, 0, "of the stored tensors"},
    {"status", LB_FROM_TRIAL, 0, "ok, skipped, unsupported, failed, crashed, timeout, oom"},
    {"trial", LB_FROM_TRIAL, 0, "hash of the trial"},
    {"model", LB_FROM_TRIAL, 0, "name of the model"},
    {"weights", LB_FROM_ROW, 0, "number of weights and biases"},
    {"nan_codes", LB_FROM_ROW, 0, "weights that are NaN as stored"},
    {"inf_codes", LB_FROM_ROW, 0, "weights that are infinite as stored"},
    {"zeroed", LB_FROM_ROW, 0, "weights that were not 0 and became 0"},
    {"clipped", LB_FROM_ROW, 0, "scaled weights that leave the codec's range even when rounded to nearest"},
    {"top1_f32", LB_FROM_ROW, 4, "accuracy of the F32 network, percent"},
    {"published_quality", LB_FROM_PUBLISHED, -1, "as published"},
    {"published_avg_dev", LB_FROM_PUBLISHED, -1, "as published"},
    {"published_size", LB_FROM_PUBLISHED, 0, "as published"},
};

const struct lb_column lb_measured_columns[] = {
    {"trial", LB_FROM_TRIAL, 0, "hash of the trial"},
    {"encode_s", LB_FROM_MEASURED, -1, "encoding all weights, seconds"},
    {"latency_s", LB_FROM_MEASURED, -1, "one batch, median, seconds"},
    {"samples_per_s", LB_FROM_MEASURED, 1, "batch / latency"},
    {"tensor_bytes", LB_FROM_MEASURED, 0, "most that inference had allocated at once, in a fresh process"},
    {"rss_delta_bytes", LB_FROM_MEASURED, 0, "by how much the resident size of that process rose at most"},
    {"isa", LB_FROM_MEASURED, 0, "instruction set, or the library's kernels"},
    {"threads", LB_FROM_MEASURED, 0, "of the backend"},
    {"device", LB_FROM_MEASURED, 0, "of the backend"},
    {"version", LB_FROM_MEASURED, 0, "of lowbit"},
    {"build", LB_FROM_MEASURED, 0, "SHA-256 over executable and plugins"},
    {"format", LB_FROM_TRIAL, 0, "name of the format"},
    {"backend", LB_FROM_TRIAL, 0, "what ran the network"},
    {"model", LB_FROM_TRIAL, 0, "name of the model"},
    {"codec_sha256", LB_FROM_TRIAL, 0, "of the format's derived table"},
    {"codec_plugin_sha256", LB_FROM_TRIAL, 0, "of the codec's plugin file"},
    {"backend_plugin_sha256", LB_FROM_TRIAL, 0, "of the backend's plugin file"},
    {"why", LB_FROM_TRIAL, 0, "where the status is not ok: the reason"},
    {"batch", LB_FROM_MEASURED, 0, "samples of a batch: infer.batch, or what the limits allow"},
    {"formula_bytes", LB_FROM_MEASURED, 0,
     "weights, and for each sample of a batch its input and the outputs of the layers, in their precision"},
    {"limited_latency_s", LB_FROM_MEASURED, -1, "latency / limits.compute_factor"},
};

const size_t lb_n_table_columns = sizeof lb_table_columns / sizeof *lb_table_columns;
const size_t lb_n_measured_columns = sizeof lb_measured_columns / sizeof *lb_measured_columns;

void lb_column_number(double v, int decimals, struct lb_text *out)
{
    char s[400]; /* the largest binary64 has 309 digits */
    if (decimals < 0)
        snprintf(s, sizeof s, "%.9g", v);
    else
        snprintf(s, sizeof s, "%.*f", decimals, v);
    const int zero = s[0] == '-' && strspn(s + 1, "0.") == strlen(s + 1); /* "-0.00" says no more than "0.00" */
    lb_text_add(out, "%s", zero ? s + 1 : s);
}

void lb_column_text(const struct lb_column *c, const json_t *value, struct lb_text *out)
{
    lb_text_add(out, "%s", "");
    if (json_is_string(value))
        lb_text_add(out, "%s", json_string_value(value));
    else if (json_is_integer(value))
        lb_text_add(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        lb_column_number(json_real_value(value), c->decimals, out);
}

const char *lb_line_text(const json_t *line, const char *key)
{
    const char *s = json_string_value(json_object_get(line, key));
    return s ? s : "";
}
