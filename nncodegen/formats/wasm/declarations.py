"""NAME.d.ts: the types of NAME.js, for editors and TypeScript."""

from __future__ import annotations

from nncodegen.compiler.emit.lines import wrapped
from nncodegen.formats.c.plain import columns
from nncodegen.formats.export.first_line import EXPORTED
from nncodegen.formats.wasm.javascript import ARRAYS
from nncodegen.formats.wasm.model import WasmModel
from nncodegen.formats.wasm.training import default_options

LOADING = """\
/** The bytes of a file, or where it is: a URL, or (in Node) a path. */
export type Source = ArrayBuffer | ArrayBufferView | URL | string;

/**
 * Loads the model.
 *
 * @param wasm the WebAssembly; by default @NAME@.wasm beside this module
 * @param parameters @PARAMETERS@
 */
export function load(wasm?: Source, parameters?: Numbers | ArrayBuffer | URL | string): Promise<Model>;

/** A loaded model. Its calls neither change nor keep what they are given. */
export interface Model {
  /** @ABOUT@ */
  parameters@OPTIONAL@: Reals;

  /**
   * The outputs for rows of @INPUTS@.
   *
   * For an array of rows, an array of rows; for one array with the numbers of all rows, one array. Throws a TypeError
   * or a RangeError for what is no array of finite numbers, and for rows of another length.
   */
  predict(inputs: readonly Numbers[], parameters?: Numbers): Reals[];
  predict(inputs: Numbers, parameters?: Numbers): Reals;
@STEPS@@TRAINING@}
"""

STEPS = """\

  /**
   * The probabilities of the token after this one, and the state of the sequence after it: give it to the next step.
   *
   * Throws a TypeError or a RangeError for what is no token or state, and after the last position.
   */
  step(token: number, state?: Numbers, parameters?: Numbers): { probabilities: Reals; state: Reals };

  /**
   * The tokens with which the model continues a prompt of at least one token; for several prompts, those of each.
   *
   * Throws a TypeError or a RangeError for what is no prompt, and where prompt and steps need more positions than there
   * are.
   */
  generate(prompt: Numbers, steps: number, options?: GenerationOptions): Reals;
  generate(prompts: readonly Numbers[], steps: number, options?: GenerationOptions): Reals[];
"""

GENERATION = """
export interface GenerationOptions {
  /** Tokens are drawn by their probabilities to the power of 1/temperature, 1 by default; at 0, the most probable. */
  temperature?: number;
  /** How many tokens are drawn from, the most probable ones; by default all. */
  topK?: number;
  /** The token before which a sequence ends; by default none. */
  stop?: number;
  /** Of the random numbers; 0 by default. */
  seed?: number;
  /** By default the parameters of the model. */
  parameters?: Numbers;
}
"""

METHODS = """\

  /** Trains to the end. Throws as predict does, and a RangeError if the parameters cease to be finite. */
  train(inputs: Rows, targets: Rows, options?: TrainingOptions): Trainer;

  /** Begins a training: call step() for each epoch, for as long as the page has time. */
  trainer(inputs: Rows, targets: Rows, options?: TrainingOptions): Trainer;
"""

TRAINER = """
/** A training. */
export interface Trainer {
  /** The parameters now. */
  readonly parameters: Reals;
  /** The loss of each epoch: the mean over its batches, each before its update. */
  readonly losses: number[];
  /** Whether all epochs that were asked for are done. */
  readonly done: boolean;
  /** Uses every sample once, and returns the loss. After a RangeError, parameters are those before the epoch. */
  step(): number;
}

export interface TrainingOptions {
  /** Where to start; by default the parameters of the model. */
  parameters?: Numbers;
  /** The rule by which parameters are updated; by default the first. */
  optimizer?: @OPTIMIZERS@;
  /** The step for each gradient; 0.01 by default. */
  learningRate?: number;
  /** How often every sample is used; 100 by default. */
  epochs?: number;
  /** Samples for one update; all of them by default. */
  batchSize?: number;
  /** Whether samples are shuffled anew in every epoch; by default, if there are several batches. */
  shuffle?: boolean;
  /** Of the order and of noise; 0 by default. */
  seed?: number;
  /** All parameters at once (the default), or one after the other, each with a new gradient: sgd alone. */
  update?: "simultaneous" | "sequential";
@HYPERPARAMETERS@}
"""


def declarations(model: WasmModel) -> str:
    """Return the text of NAME.d.ts."""
    reals = ARRAYS[model.request.precision]
    texts = LOADING + (GENERATION if model.step else "") + (TRAINER if model.train else "")
    if model.request.parameters is not None:
        about = "The trained parameters."
    else:
        about = "Those with which a training begins." if model.train else "Those that were given to load."
    by_default = about.lower() if model.start is not None else "trained ones; without them, give them to predict"
    values = {
        "NAME": model.name,
        "PARAMETERS": f"by default {by_default}" if model.start is not None else by_default,
        "ABOUT": f"{about} They are those of a call that names no others.",
        "OPTIONAL": "" if model.start is not None else "?",
        "INPUTS": f"{model.sizes['INPUTS']} inputs",
        "STEPS": STEPS if model.step else "",
        "TRAINING": METHODS if model.train else "",
        "OPTIMIZERS": " | ".join(f'"{rule.name}"' for rule in model.rules),
        "HYPERPARAMETERS": _hyperparameters(model),
    }
    for name, value in values.items():
        texts = texts.replace(f"@{name}@", value)
    types = [f"export type Reals = {reals};", "export type Numbers = ArrayLike<number>;"]
    if model.train:
        types += [
            "/** Rows, or the numbers of all rows in one array. */",
            "export type Rows = readonly Numbers[] | Numbers;",
        ]
    mark = f"// {EXPORTED}"
    return "\n".join([mark, "", *_about(model), "", *types, "", texts])


def _about(model: WasmModel) -> list[str]:
    """Return a comment on the inputs, outputs and targets of the model, in their order."""
    lines = ["/*", f" * {model.name}: {model.request.precision}, matrices row by row.", " *"]
    for name, texts in columns(model).items():
        rows = wrapped("; ".join(texts), "[,;]")
        lines += [f" * {name if not number else '':<9}{text.strip()}" for number, text in enumerate(rows)]
    return [*lines, " */"]


def _hyperparameters(model: WasmModel) -> str:
    """Return the declarations of the options of the optimizers."""
    defaults: dict[str, list[str]] = {}
    for rule in model.rules:
        for name, value in default_options(rule).items():
            defaults.setdefault(name, []).append(f"{rule.name} {value!r}")
    return "".join(
        f"  /** By default {', '.join(values)}. */\n  {name}?: number;\n" for name, values in defaults.items()
    )
