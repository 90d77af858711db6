export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
export { type MatchedPair, type Matching, matchLayers } from "./match.ts";
export { type OwnTextsOptions, ownTexts } from "./own-texts.ts";
