import { golden, testGolden } from "./static-golden.ts";

testGolden(golden.cases);
