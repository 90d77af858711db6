/** Runs the tests of verdict-formats.test.ts for every weight format. */
import { formats, testRefusals, testVerdicts } from "./verdicts.ts";

testRefusals(formats);
testVerdicts(formats);
