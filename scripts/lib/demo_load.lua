-- SPDX-License-Identifier: Apache-2.0
-- For wrk: the everyday load under which scripts/demo looks for what blocks. A pause after each answer keeps it well below what the
-- server can do, so that no loop waits for a CPU.
function delay()
    return 4  -- ms
end
