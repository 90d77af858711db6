/** Which page explains more of a command than its help; all lie in the folder docs/ of the package. */
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

/** "docs/pruning.md" */
export function guideOf(command: string): string | undefined {
  const page = guides.get(command);
  return page === undefined ? undefined : `docs/${page}`;
}
