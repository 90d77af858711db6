import { mergeConfig } from "vitest/config";
import { suites } from "./vitest.config.ts";

/** All suites, the slow ones too; what is drawn at random is drawn anew. */
export default mergeConfig(suites([], 1_800_000), { test: { env: { PITH_RANDOM_SEED: "yes" } } });
