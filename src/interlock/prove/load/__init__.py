"""A contract under load: many calls at once or for a long time, by real threads and processes on a real Redis.

shapes      how much load, and how it arrives
calls       which call asks for which payment of which user, and when
timeline    the wall clock that all processes of a load share, and the server
servers     the Redis and the provider of a load, which can be restarted
wiring      where the sockets of a loaded process lead, what they send, and what goes wrong on them
loaded      what a contract is shown under load
asks        what a contract has its processes do
commands    the keys that commands name
crew        the processes: some make calls, some do the work
scene       what a load is driven with, and what is seen of it
drive       makes the calls, and has the work done meanwhile
aftermath   what is done when the calls are over
accounts    what became of each call and of each payment
leaks       connections and files that are not given back
judge       what breaks the contract, and what is not known
result      what a load comes to
over_http   load on a server of the team's own, by Locust
"""
