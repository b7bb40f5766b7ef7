/* SPDX-License-Identifier: MIT */
/* Formats that no training can know as their "qat" asks. */
#include "test/unit/nn_util.h"

#include "core/nn/qat.h"

Test(qat_errors, refused)
{
    static const struct {
        const char *format, *why;
    } cases[] = {
        {"{\"codec\": \"Q4_0\", \"qat\": {\"rounding\": \"stochastic\"}}", "qat: "},
        {"{\"codec\": \"LOOM_F4\", \"qat\": {\"rounding\": \"stochastic\"}}", "qat: "},
        {"{\"codec\": \"I8\", \"scale\": {\"per\": \"tensor\", \"rule\": \"mse\", \"calibrated\": true}, \"qat\": {}}",
         "qat: scale mse/tensor calibrated is for activations"},
        {"{\"codec\": \"I4\", \"scale\": {\"per\": \"block\", \"block\": 32, \"format\": \"F16\"}, \"qat\": {\"scales\": \"learned\"}}",
         "qat.scales learned: the scale is absmax/block 32 in F16 learned; expected absmax, percentile or mse, stored as F32"},
        {"{\"codec\": \"U4\", \"scale\": {\"per\": \"tensor\", \"rule\": \"asymmetric\"}, \"qat\": {\"scales\": \"calibrated\"}}",
         "qat.scales calibrated: the scale is asymmetric/tensor calibrated; expected absmax, percentile or mse, stored as F32"},
        {"{\"codec\": \"I32\", \"scale\": {\"per\": \"tensor\"}, \"qat\": {\"scales\": \"learned\"}}",
         "qat.scales learned: codec I32; expected one of up to 16 bits"},
        {"{\"codec\": \"I4\", \"scale\": {\"per\": \"tensor\"}, \"rounding\": \"stochastic\", \"qat\": {\"scales\": \"learned\"}}",
         "qat.scales learned: rounding stochastic; expected a format that does not draw"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct lb_err err = {0};
        load_plugins();
        struct lb_format_config c = {0};
        struct lb_format *f = NULL;
        cr_assert_eq(lb_config_format(cases[i].format, NULL, &c, &err) || lb_format_create(&c, &f, &err), 0, "%s: %s", cases[i].format,
                     err.text);
        const int r = lb_qat_check(&c.qat, f, &err);
        cr_expect(r == -1 && !strncmp(err.text, cases[i].why, strlen(cases[i].why)), "%s\n  found:    %s\n  expected: %s", cases[i].format,
                  r ? err.text : "no error", cases[i].why);
        lb_format_destroy(f);
        lb_config_format_finish(&c);
        drop_all();
    }
}
