/* SPDX-License-Identifier: MIT */
/* codec_list.h - the codecs of up to 16 bits, as configs say them, those with parameters in several forms: for tests that go through all of them. That none is
 * missing is a test of its own (quantizer, all_codecs). */
#ifndef LB_TEST_CODEC_LIST_H
#define LB_TEST_CODEC_LIST_H

static const char *const narrow_codecs[] = {"F4",
                                            "F6_E2M3",
                                            "F6_E3M2",
                                            "F8_E4M3",
                                            "F8_E5M2",
                                            "F8_E4M3FNUZ",
                                            "F8_E5M2FNUZ",
                                            "F8_E8M0",
                                            "F16",
                                            "BF16",
                                            "I2",
                                            "I4",
                                            "I8",
                                            "I16",
                                            "U2",
                                            "U4",
                                            "U8",
                                            "U16",
                                            "BOOL",
                                            "F8_E4M3B11FNUZ",
                                            "F8_E4M3_IEEE",
                                            "F8_E3M4",
                                            "SKELETON_STEP",
                                            "{\"name\": \"UINT\", \"bits\": 5}",
                                            "TERNARY",
                                            "NF4",
                                            "LOOM_F4",
                                            "SKELETON",
                                            "{\"name\": \"LOOM_F4\", \"encoder\": \"b\"}",
                                            "{\"name\": \"FIXED\", \"bits\": 8, \"frac\": 6}",
                                            "{\"name\": \"FLOAT\", \"e\": 3, \"m\": 1}",
                                            "{\"name\": \"FLOAT\", \"e\": 8, \"m\": 3}",
                                            "{\"name\": \"POSIT\", \"n\": 8, \"es\": 2}",
                                            "{\"name\": \"POSIT\", \"n\": 16, \"es\": 3}"};

#endif
