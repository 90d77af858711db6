import { golden, testGolden } from "./static-golden.ts";

/** One of each network. */
const quick = golden.cases.filter(({ network }, at) => golden.cases.findIndex((one) => one.network === network) === at);

testGolden(quick);
