/** The command lines that run on every model, with the requirements on their results. */

export interface Place {
  readonly model: string;
  /** The file or folder that the command writes. */
  readonly out: string;
  /** Random samples for `--data`; undefined if the model has none. */
  readonly data: string | undefined;
}

export interface Swept {
  readonly name: string;
  /** Returns the command line; undefined if the command does not apply to this model. */
  words(place: Place): readonly string[] | undefined;
  /** Extension of the written file; undefined if the command writes none. */
  readonly writes?: ".onnx" | ".html";
  /** Minimum signal-to-noise ratio of the outputs in dB; undefined if only their sizes must be equal. */
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

// A network of random numbers amplifies the quantization error to up to half of the output's power, 3 dB. A rejection for that reason is not a fault.
export const commands: readonly Swept[] = [
  { name: "inspect", words: ({ model }) => ["inspect", model] },
  { name: "inspect weights", words: ({ model }) => ["inspect", model, "--weights"] },
  { name: "bench", words: ({ model }) => ["bench", model, "--rounds", "3"] },
  withData("eval", ({ model, data }) => ["eval", model, "--original", model, "--data", data, "--samples", "16"]),
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
  withData("compress", ({ model, out, data }) => [
    "compress",
    model,
    "--data",
    data,
    "--samples",
    "32",
    "--minutes",
    "1",
    "-o",
    out,
  ]),
];
