export { matchLayers } from "#analysis";
export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
