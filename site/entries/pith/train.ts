export * from "../../../src/learn/train/index.ts";
