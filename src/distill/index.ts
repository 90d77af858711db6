export { type MatchedPair, type Matching, matchLayers } from "../analysis/match.ts";
export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
