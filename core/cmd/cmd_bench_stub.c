#include "core/cmd/cmd.h"
static int run(int c,char**v){(void)c;(void)v;return 0;} const struct lb_command lb_cmd_bench={"bench","x",run};
