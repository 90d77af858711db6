import { mergeConfig } from "vitest/config";
import { suites } from "./vitest.config.ts";

/** All suites, also the slow ones. Random tests use a new seed in each run. */
export default mergeConfig(suites([], 1_800_000), { test: { env: { PITH_RANDOM_SEED: "yes" } } });
