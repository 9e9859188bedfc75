 00000000000000000000000000000001•š»ÚÂğÖë"	api/api-1RT
worker-1smollm2-135msmollm2-135m"default(€0@:jetmill-0.1.0-cpuBb3:00H€€P