export { distill } from "./distill.ts";
export { type DistillationOptions, distillation } from "./distillation.ts";
