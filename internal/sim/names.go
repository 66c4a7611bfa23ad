package main

var kindNames = [kinds]string{"says", "says in parts", "begins a frame", "pings", "pongs", "pings 200 times", "floods", "closes",
	"violates", "closes and raves", "stops", "freezes", "vanishes", "ends its direction", "closes TCP", "resets"}

func (k Kind) String() string { return kindNames[k] }

var openingNames = [openings]string{"its handshake goes well", "it says nothing", "its request never ends", "its request is wrong", "it asks for a page", "it leaves early",
	"the service is silent", "the service's 101 is wrong", "the service babbles", "the service leaves", "the service resets"}

func (o Opening) String() string { return openingNames[o] }
