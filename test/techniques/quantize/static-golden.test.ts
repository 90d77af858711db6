import { golden, testGolden } from "./static-golden.ts";

/** One of each network and number of bits. */
const quick = golden.cases.filter(
  ({ network, options: { bits } }, at) =>
    golden.cases.findIndex((one) => one.network === network && one.options.bits === bits) === at,
);

testGolden(quick);
