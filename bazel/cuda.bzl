# SPDX-License-Identifier: Apache-2.0
"""--config=cuda: whether kernels are built for NVIDIA GPUs."""

def _cuda_flag_impl(ctx):
    if ctx.build_setting_value:
        fail("\n\n  --config=cuda: Unimplemented. This version of septet has no CUDA kernels; build without it.\n")
    return []

cuda_flag = rule(
    implementation = _cuda_flag_impl,
    build_setting = config.bool(flag = True),
    doc = "Every septet_cc_* target looks at it, so that asking for CUDA is answered and not ignored.",
)
