/** What is run on every model: each command line, and what its file must be to its original. */

export interface Place {
  readonly model: string;
  /** The file or folder that the command writes. */
  readonly out: string;
  /** Random samples as `--data`; undefined where none can be drawn. */
  readonly data: string | undefined;
}

export interface Swept {
  readonly name: string;
  /** Undefined where it cannot be asked of this model. */
  words(place: Place): readonly string[] | undefined;
  /** The extension of what is written; undefined where nothing is. */
  readonly writes?: ".onnx" | ".html";
  /** The least signal-to-noise ratio of the outputs, in dB, beside the original; undefined where they only have to be of the same sizes. */
  readonly least?: number;
}

const pass = (name: string, words: readonly string[], least?: number): Swept => ({
  name,
  words: ({ model, out }) => [...words.slice(0, 1), model, ...words.slice(1), "-o", out],
  writes: ".onnx",
  ...(least === undefined ? {} : { least }),
});

const withData = (name: string, words: (place: Place & { readonly data: string }) => readonly string[]) => ({
  name,
  words: (place: Place) => (place.data === undefined ? undefined : words({ ...place, data: place.data })),
});

// Rounding that a network of random numbers amplifies may be half of its output's power: 3 dB. What was refused for that is no fault.
export const commands: readonly Swept[] = [
  { name: "inspect", words: ({ model }) => ["inspect", model] },
  { name: "inspect weights", words: ({ model }) => ["inspect", model, "--weights"] },
  { name: "plot", words: ({ model, out }) => ["plot", model, "-o", out], writes: ".html" },
  { name: "bench", words: ({ model }) => ["bench", model, "--rounds", "3"] },
  withData("eval", ({ model, data }) => ["eval", model, "--against", model, "--data", data, "--samples", "16"]),
  pass("simplify", ["simplify"], 60),
  pass("prune", ["prune", "--amount", "30%"]),
  pass("prune channels", ["prune", "--structured", "30%"]),
  pass("weights", ["quantize", "--scheme", "weights"], 3),
  pass("dynamic", ["quantize", "--scheme", "dynamic"], 3),
  pass("float16", ["quantize", "--scheme", "float16"], 20),
  {
    ...withData("static", ({ model, out, data }) => [
      ...["quantize", model, "--scheme", "static", "--data", data, "-o", out],
    ]),
    writes: ".onnx",
    least: 3,
  },
  pass("factorize", ["factorize", "--budget", "0.8"], 3),
  pass("reinitialize", ["reinitialize"]),
  withData("compress", ({ model, out, data }) => ["compress", model, "--data", data, "--samples", "32", "-o", out]),
];
