export * from "../../../src/data/index.ts";
