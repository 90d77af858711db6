export * from "../../../src/learn/nn/index.ts";
