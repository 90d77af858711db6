/** Every pass in the tests is held to its contract: a legal graph afterwards, and "no change" means none. */
import { contract } from "../../src/core/pass/run-pass.ts";

contract.checked = true;
