"""
A model on a microcontroller
============================

A network that tells handwritten digits apart, as C for a chip with a few kilobytes of memory: one ``.c`` and one ``.h``,
no allocation, the weights as constants. Where a cross compiler and an emulator are installed, this page compiles it for
a Cortex-M4 of Arm and runs it there; everywhere else with the C compiler of the machine.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nncodegen as nn

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, test_size=0.3, random_state=0, stratify=y
)
model = nn.Sequential(
    [nn.Dense(16, "relu"), nn.Dense(10, "softmax")],
    64,
    "categorical_crossentropy",
    name="reader",
)
reader = nn.build(model, precision="float32")
result = reader.train(
    X_train, y_train, optimizer="adam", learning_rate=0.005, epochs=60, batch_size=64
)
right = reader.predict(result.parameters, X_test).argmax(axis=1) == y_test
accuracy = right.mean()
print(
    f"{reader.parameter_count:,} parameters, {accuracy:.1%} of {len(y_test)} unseen digits right"
)

# %%
# The export says what it takes, as far as the tools on this machine can tell.

folder = Path(tempfile.mkdtemp())
written = nn.export(model, "c", folder / "reader", parameters=result, precision="float32")
print(written.report)
header = (folder / "reader" / "reader.h").read_text()
begin = header.index("/* The trained")
print(header[begin : header.index("#ifdef", begin)])

# %%
# A program for the chip: it reads a few digits from constants, and prints which class has the largest output.

shown = np.arange(8)
pixels = ",\n".join(
    "    {" + ",".join(f"{16 * value:.0f}" for value in row) + "}" for row in X_test[shown]
)
program = f"""
#include <stdio.h>

#include "reader.h"

static const unsigned char digits[{len(shown)}][READER_INPUTS] = {{
{pixels}
}};

int main(void)
{{
    float inputs[READER_INPUTS], outputs[READER_OUTPUTS], work[READER_PREDICT_WORK + 1];
    for (int k = 0; k < {len(shown)}; k++) {{
        int best = 0;
        for (int i = 0; i < READER_INPUTS; i++)
            inputs[i] = digits[k][i] / 16.0f;
        reader_predict(NULL, inputs, outputs, work);
        for (int c = 1; c < READER_OUTPUTS; c++)
            best = outputs[c] > outputs[best] ? c : best;
        printf("%d ", best);
    }}
    printf("\\n");
    return 0;
}}
"""
(folder / "main.c").write_text(program)

# %%
# An emulated board has no operating system: a few lines start the program, and say where its memory lies.

(folder / "start.c").write_text("""
#include <stdint.h>
#include <stdlib.h>

extern uint32_t data_begin[], data_end[], data_source[], bss_begin[], bss_end[], stack_end[];
void initialise_monitor_handles(void);
int main(void);
void _init(void) {}
void _fini(void) {}

void reset(void)
{
    *(volatile uint32_t *) 0xE000ED88 |= UINT32_C(0xF) << 20; /* the unit for floating point */
    for (uint32_t *to = data_begin, *from = data_source; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_begin; to < bss_end;)
        *to++ = 0;
    initialise_monitor_handles();
    exit(main());
}

__attribute__((section(".vectors"), used)) static void *const vectors[] = {
    stack_end, (void *) reset};
""")
(folder / "board.ld").write_text("""
ENTRY(reset)
MEMORY { CODE (rx) : ORIGIN = 0, LENGTH = 4M  DATA (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS
{
    .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > CODE
    .ARM.exidx : { *(.ARM.exidx*) } > CODE
    .data : { data_begin = .; *(.data*) . = ALIGN(4); data_end = .; } > DATA AT > CODE
    data_source = LOADADDR(.data);
    .bss (NOLOAD) : { bss_begin = .; *(.bss*) *(COMMON) . = ALIGN(4); bss_end = .; end = .; } > DATA
    stack_end = ORIGIN(DATA) + LENGTH(DATA);
}
""")


def run(*command):
    """Return what a command prints."""
    return subprocess.run(
        list(map(str, command)), cwd=folder, check=True, capture_output=True, text=True
    ).stdout


sources = ("main.c", "reader/reader.c")
if shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm"):
    cpu = (
        "-mcpu=cortex-m4",
        "-mthumb",
        "-mfloat-abi=hard",
        "-mfpu=fpv4-sp-d16",
        "-O2",
        "-Ireader",
    )
    board = ("--specs=rdimon.specs", "-nostartfiles", "-T", "board.ld", "start.c")
    run("arm-none-eabi-gcc", *cpu, *board, *sources, "-lm", "-o", "reader.elf")
    place = "a Cortex-M4, in an emulator,"
    read = run(
        "qemu-system-arm",
        "-M",
        "mps2-an386",
        "-nographic",
        "-semihosting-config",
        "enable=on,target=native",
        "-kernel",
        "reader.elf",
    )
else:
    run(
        *os.environ.get("CC", "cc").split(),
        "-std=c99",
        "-O2",
        "-Ireader",
        *sources,
        "-lm",
        "-o",
        "host",
    )
    place, read = "this machine", run(folder / "host")
print(place, "reads", read)

# %%
# The digits that it was given, and what it made of them.

fig, axes = plt.subplots(1, len(shown), figsize=(9, 1.7))
for one, panel, text in zip(shown, axes, read.split()):
    panel.imshow(X_test[one].reshape(8, 8), cmap="gray_r")
    panel.set_title(text, color="C0")
    panel.set_axis_off()
plt.show()
