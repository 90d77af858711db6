import { configDefaults, defineConfig, mergeConfig } from "vitest/config";
import quick from "./vitest.config.ts";

const env = { PITH_RANDOM_SEED: "yes" };
const all = mergeConfig(quick, defineConfig({ test: { testTimeout: 1_800_000, hookTimeout: 1_800_000, env } }));
// Lists are concatenated when merged, so the one that leaves suites out is replaced.
if (all.test) all.test.exclude = [...configDefaults.exclude];

/** All suites, the slow ones too. */
export default all;
