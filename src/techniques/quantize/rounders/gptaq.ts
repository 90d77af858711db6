import type { Gram } from "../../calibrate/gram.ts";
import type { Solver } from "../../calibrate/solver.ts";
import { gptq } from "./gptq.ts";
import { scalesByAnswers } from "./sequential-mse.ts";
import { towardsOriginal } from "./towards-original.ts";

export const gptaq = {
  ...towardsOriginal(gptq),
  id: "gptaq",
  summary: "GPTQ towards the original model's layer outputs (needs samples)",
  blind: true,
  scales: scalesByAnswers,
} satisfies Solver<Gram | undefined>;
