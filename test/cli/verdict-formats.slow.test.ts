/** The verdicts of verdict-formats.test.ts, for every format of weights. */
import { formats, testRefusals, testVerdicts } from "./verdicts.ts";

testRefusals(formats);
testVerdicts(formats);
