"""
What is wrong with the store, or with the way there: the doctors.

One for each kind of store (`vault`, `aws`, `local`), each looking from the outside in: the server, the login, the
place, the rights, each secret. What is broken hides what is behind it, so nothing is said of that: one cause is
one symptom. What a symptom is, and what every doctor keeps to, stands in `symptom`; `times` judges settings that
no store can tell of. Imported where an inspection is made, and nowhere else.
"""
