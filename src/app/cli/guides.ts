/** The guide of each command in the package's folder docs/. */
const guides: ReadonlyMap<string, string> = new Map([
  ["plot", "plot.md"],
  ["eval", "data.md"],
  ["compress", "compress.md"],
  ["explain", "pruning.md"],
  ["sensitivity", "sensitivity.md"],
  ["train", "training.md"],
  ["prune", "pruning.md"],
  ["quantize", "quantization.md"],
  ["factorize", "low-rank.md"],
  ["lora", "low-rank.md"],
  ["distill", "distillation.md"],
  ["recover", "pruning.md"],
  ["reinitialize", "training.md"],
]);

export function guideOf(command: string): string | undefined {
  const page = guides.get(command);
  return page === undefined ? undefined : `docs/${page}`;
}
