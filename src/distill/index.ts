export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
export { type Matched, type Matching, matchLayers } from "./match.ts";
