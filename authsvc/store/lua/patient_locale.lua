-- The language of a patient; empty for one who has none, or isn't on file.
--   patient
-- Returns {locale}

local p = patient_of(resolve(a.patient))
return answer({locale = p and p.locale or ''})
