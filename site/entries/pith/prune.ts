export * from "../../../src/techniques/prune/index.ts";
