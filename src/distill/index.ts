export { type DistillationOptions, distillation } from "./distillation.ts";
