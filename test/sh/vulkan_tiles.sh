#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# long
# The backend vulkan's products: by the tiles that the device gets, by those of GPUs (kernels/vulkan/tiles.comp), and one by one give the same bits.
set -euo pipefail
. test/sh/util.bash
. test/sh/vulkan_util.bash

verified tiles=0
verified tiles=1
verified tiles=2
finish
