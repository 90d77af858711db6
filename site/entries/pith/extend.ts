export * from "../../../src/extend.ts";
