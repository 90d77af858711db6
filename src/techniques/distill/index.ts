export { matchLayers } from "../../core/analysis/match.ts";
export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
